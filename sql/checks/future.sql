-- check: future
-- version: 1
-- severity: error
-- reads: ohlcv, trades, orderbook, funding_rates
-- reach: series
-- repair: refetch
-- parameters: slack_s = 60: by how many seconds a venue's clock may be ahead of ours
-- returns: one row a series with rows later than now, or candles that have not closed yet; the variable now
--      (timestamp, UTC) stands for the clock where it is set
-- blind to: how late a row was when it was stored
-- why: a candle that still runs is another one later, and what lies ahead is a wrong clock or unit
with present as (
    select
        coalesce(
            getvariable('now')::timestamp,
            (current_timestamp at time zone 'UTC')::timestamp
        ) + to_seconds(coalesce(getvariable('slack_s')::double, 60)) as now
),

ahead as (
    select 'ohlcv' as data_type, venue, instrument, timeframe, ts, close_ts as end_ts
    from checked_ohlcv
    -- The first condition is one that whole row groups can be left out by.
    where ts > (select now from present) - interval 32 days
        and close_ts > (select now from present)

    union all

    select 'trades', venue, instrument, null, ts, ts + interval 1 microsecond
    from checked_trades
    where ts > (select now from present)

    union all

    select 'orderbook', venue, instrument, null, ts, ts + interval 1 microsecond
    from checked_orderbook
    where ts > (select now from present)

    union all

    select 'funding_rates', venue, instrument, null, ts, ts + interval 1 microsecond
    from checked_funding_rates
    where ts > (select now from present)
)

select
    data_type,
    venue,
    instrument,
    timeframe,
    min(ts) as start_ts,
    max(end_ts) as end_ts,
    count(*)::bigint as rows,
    concat(
        count(*),
        if(count(*) = 1, ' row ends', ' rows end'),
        ' later than now, which is ',
        (select now from present) - to_seconds(coalesce(getvariable('slack_s')::double, 60))
    ) as detail
from ahead
group by data_type, venue, instrument, timeframe
order by data_type, venue, instrument, timeframe;
