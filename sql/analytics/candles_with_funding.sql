-- analytics: candles_with_funding
-- version: 1
-- dialect: duckdb
-- parameters: id, timeframe; funding (the id whose funding is meant, default the same); since, until
-- returns: each candle with the newest funding rate that was settled when the candle closed, so that
--      nothing looks ahead
-- example: select ts, close, funding_ts, funding_rate from candles_with_funding('BTCUSDT-PERP.BINANCEUSDM', '1h', since := '2024-01-01T00:00', until := '2024-01-01T02:00')
-- gives: 2024-01-01 00:00:00 | 101.0 | 2024-01-01 00:00:00 | 0.0001
-- gives: 2024-01-01 01:00:00 | 109.45 | 2024-01-01 00:00:00 | 0.0001
-- worked: both closed after the settlement of 00:00 and before that of 08:00
create or replace macro candles_with_funding(
    id,
    timeframe,
    funding := null,
    since := null,
    until := null
) as table (
    select
        candles.*,
        settled.ts as funding_ts,
        settled.funding_rate,
        settled.interval_hours
    from ohlcv(id, timeframe, since := since, until := until) as candles
    asof left join (
        select
            venue,
            instrument,
            ts,
            funding_rate,
            interval_hours
        from funding_rates(
            coalesce(funding, id),
            since := lake_moment(since) - interval 31 day,
            until := lake_moment(until) + lake_length(lake_timeframe(timeframe))
        )
    ) as settled
        on (funding is not null or (settled.venue = candles.venue
            and settled.instrument = candles.instrument))
        and settled.ts <= candles.close_ts
    order by candles.venue, candles.instrument, candles.ts
);
