-- analytics: trade_vwap
-- version: 1
-- dialect: duckdb
-- needs: candles_from_trades
-- parameters: id, timeframe (default 1m); since, until
-- returns: volume-weighted average price of each span, from stored trades. Known at close_ts
-- example: select ts, vwap, quantity from trade_vwap('BTCUSDT.BINANCE', '1m')
-- gives: 2024-01-01 00:00:00 | 105.0 | 4.0
-- gives: 2024-01-01 00:01:00 | 120.0 | 1.0
-- worked: (1 * 100 + 1 * 110 + 2 * 105) / 4 = 105
create or replace macro trade_vwap(id, timeframe := '1m', since := null, until := null) as table (
    select
        venue,
        instrument,
        ts,
        quote_volume / nullif(volume, 0) as vwap,
        volume as quantity,
        close_ts
    from candles_from_trades(id, timeframe, since := since, until := until)
    order by venue, instrument, ts
);
