-- analytics: twap
-- version: 1
-- dialect: duckdb
-- parameters: id, timeframe; base (the stored candles to average, default 1m); since, until
-- returns: time-weighted average price of each span: the mean of the closes of its shorter candles,
--      each of which stands for the same time, and how many of them are held. Known at close_ts
-- example: select ts, twap, candles, is_complete from twap('BTCUSDT.BINANCE', '5m', until := '2024-01-01T00:10')
-- gives: 2024-01-01 00:00:00 | 102.0 | 5 | true
-- gives: 2024-01-01 00:05:00 | 104.5 | 4 | false
-- worked: (100 + 101 + 102 + 103 + 104) / 5; (103 + 106 + 104 + 105) / 4, the candle of 00:07 missing
create or replace macro twap(id, timeframe, base := '1m', since := null, until := null) as table (
    with candles as (
        select
            venue,
            instrument,
            close,
            lake_open(ts, lake_timeframe(timeframe), venue) as opened
        from ohlcv(
            id,
            base,
            since := since,
            until := lake_moment(until) + lake_length(lake_timeframe(timeframe))
        )
    ),

    spans as (
        select
            venue,
            instrument,
            opened as ts,
            avg(close) as twap,
            count(*) as candles,
            opened + lake_length(lake_timeframe(timeframe)) as close_ts
        from candles
        where (since is null or opened >= lake_moment(since))
            and (until is null or opened < lake_moment(until))
        group by venue, instrument, opened
    )

    select
        spans.*,
        candles * epoch_us(ts + lake_length(lake_timeframe(base)) - ts) = epoch_us(close_ts - ts)
            as is_complete
    from spans
    order by venue, instrument, ts
);
