-- analytics: vwap
-- version: 1
-- dialect: duckdb
-- needs: resample
-- parameters: id, timeframe; base (the stored candles to build from, default 1m); since, until
-- returns: volume-weighted average price of each span, quote volume over volume: exact, where the
--      venue says the quote volume, else null. Known at close_ts
-- example: select ts, vwap, volume from vwap('BTCUSDT.BINANCE', '5m', until := '2024-01-01T00:05')
-- gives: 2024-01-01 00:00:00 | 103.0 | 15.0
-- worked: closes 100 to 104 with volumes 1 to 5: (100 + 202 + 306 + 412 + 520 + 5) / 15 = 103
create or replace macro vwap(id, timeframe, base := '1m', since := null, until := null) as table (
    select
        venue,
        instrument,
        ts,
        quote_volume / nullif(volume, 0) as vwap,
        volume,
        close_ts
    from resample(id, timeframe, base := base, since := since, until := until)
    order by venue, instrument, ts
);
