-- check: unit_of_time
-- version: 1
-- severity: error
-- reads: ohlcv, trades, orderbook, funding_rates
-- reach: series
-- repair: refetch
-- parameters: none
-- returns: one row a series and unit with rows from before 2009-01-03, when Bitcoin began, or from
--      more than a year ahead: seconds, milliseconds or nanoseconds that were taken for another unit
-- blind to: moments that are wrong and possible; see misplaced and rollup
-- why: nothing in a file of times says what they count, and vendors change it from one month to the next
with present as (
    select
        coalesce(
            getvariable('now')::timestamp,
            (current_timestamp at time zone 'UTC')::timestamp
        ) as now
),

implausible as (
    select 'ohlcv' as data_type, venue, instrument, timeframe, ts
    from checked_ohlcv
    where ts < timestamp '2009-01-03' or ts > (select now from present) + interval 366 days

    union all

    select 'trades', venue, instrument, null, ts
    from checked_trades
    where ts < timestamp '2009-01-03' or ts > (select now from present) + interval 366 days

    union all

    select 'orderbook', venue, instrument, null, ts
    from checked_orderbook
    where ts < timestamp '2009-01-03' or ts > (select now from present) + interval 366 days

    union all

    select 'funding_rates', venue, instrument, null, ts
    from checked_funding_rates
    where ts < timestamp '2009-01-03' or ts > (select now from present) + interval 366 days
),

guesses as (
    select
        data_type,
        venue,
        instrument,
        timeframe,
        ts,
        case
            when epoch_us(ts) * 1000.0 between epoch_us(timestamp '2009-01-03') and now_us
                then 1000.0
            when epoch_us(ts) * 1000000.0 between epoch_us(timestamp '2009-01-03') and now_us
                then 1000000.0
            when epoch_us(ts) / 1000.0 between epoch_us(timestamp '2009-01-03') and now_us
                then 0.001
        end as factor
    from implausible
    cross join (select epoch_us(now) as now_us from present)
)

select
    data_type,
    venue,
    instrument,
    timeframe,
    min(ts) as start_ts,
    max(ts) + interval 1 microsecond as end_ts,
    count(*)::bigint as rows,
    concat(
        count(*),
        if(count(*) = 1, ' row is', ' rows are'),
        ' of a time that cannot be',
        case
            when factor is null then ''
            when factor >= 1 then concat('; ', factor::bigint, ' times later it could: ')
            else concat('; ', (1 / factor)::bigint, ' times earlier it could: ')
        end,
        coalesce(make_timestamp((epoch_us(min(ts)) * factor)::bigint)::varchar, '')
    ) as detail
from guesses
group by data_type, venue, instrument, timeframe, factor
order by data_type, venue, instrument, timeframe, start_ts;
