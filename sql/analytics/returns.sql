-- analytics: returns
-- version: 1
-- dialect: duckdb
-- parameters: id, timeframe; since, until
-- returns: close by close, the simple return close / previous - 1 and the log return; null for the
--      first candle and behind a hole, where the span would be another. Known at close_ts
-- example: select close_ts, close, round(simple_return, 6) as simple, round(log_return, 6) as log from returns('BTCUSDT.BINANCE', '1h', until := '2024-01-01T06:00')
-- gives: 2024-01-01 01:00:00 | 100.0 | null | null
-- gives: 2024-01-01 02:00:00 | 110.0 | 0.1 | 0.09531
-- gives: 2024-01-01 03:00:00 | 99.0 | -0.1 | -0.105361
-- gives: 2024-01-01 05:00:00 | 121.0 | null | null
-- gives: 2024-01-01 06:00:00 | 133.1 | 0.1 | 0.09531
-- worked: 110 / 100 = 1.1, ln 1.1 = 0.09531; 99 / 110 = 0.9; the candle of 03:00 is missing
create or replace macro returns(id, timeframe, since := null, until := null) as table (
    with candles as (
        select
            venue,
            instrument,
            ts,
            close_ts,
            close,
            lag(close) over series as previous,
            lag(close_ts) over series = ts as is_next
        from ohlcv(id, timeframe, since := since, until := until)
        window series as (partition by venue, instrument order by ts)
    )

    select
        venue,
        instrument,
        ts,
        close_ts,
        close,
        if(is_next, close / previous - 1, null) as simple_return,
        if(is_next, ln(close / previous), null) as log_return
    from candles
    order by venue, instrument, ts
);
