-- check: freshness
-- version: 1
-- severity: warning
-- reads: catalog
-- reach: series
-- parameters: candles = 3: how many candles late a series may be;
--      hours = 26: how many hours late it may be in any case, as one update a day makes it
-- returns: one row a series that was kept up to date once, whose venue still trades it, and whose
--      newest row is too old
-- blind to: series that were never up to date: archives, imports, ranges of the past; synthetic ones
-- why: a cron job that died, or a venue that answers with nothing, says so nowhere else
with present as (
    select
        coalesce(
            getvariable('now')::timestamp,
            (current_timestamp at time zone 'UTC')::timestamp
        ) as now
),

newest as (
    select
        partitions.series_id,
        make_timestamp(max(partitions.max_ts)) as newest_ts
    from lake.partitions as partitions
    group by partitions.series_id
),

asked as (
    select
        coverage.series_id,
        make_timestamp(max(coverage.end_ts)) as asked_until,
        make_timestamp(arg_max(coverage.confirmed_at, coverage.end_ts)) as asked_at
    from lake.coverage as coverage
    where coverage.basis = 'answer'
        and coverage.source <> 'derived'
    group by coverage.series_id
),

listed as (
    select
        listings.venue,
        listings.instrument,
        bool_and(coalesce(
            make_timestamp(listings.listed_to) < (select now from present),
            false
        )) as is_over
    from lake.listings as listings
    group by listings.venue, listings.instrument
),

kept as (
    select
        series.data_type,
        series.venue,
        series.instrument,
        series.timeframe,
        coalesce(lake_length(series.timeframe), interval 0 hours) as length,
        newest.newest_ts,
        asked.asked_until,
        asked.asked_at
    from checked_series as series
    inner join newest on newest.series_id = series.series_id
    inner join asked on asked.series_id = series.series_id
    left join listed
        on listed.venue = series.venue
        and listed.instrument = series.instrument
    left join lake.instruments as instruments
        on instruments.venue = series.venue
        and instruments.code = series.instrument
    -- A market of our own making does not go on.
    where series.origin = 'venue'
        and not coalesce(listed.is_over, false)
        and coalesce(instruments.active, 1) = 1
        and coalesce(
            try_strptime(regexp_extract(series.instrument, '-(\d{6})(?:-|$)', 1), '%y%m%d')
                > (select now from present),
            true
        )
),

late as (
    select
        *,
        newest_ts + length as end_ts,
        greatest(
            length * coalesce(getvariable('candles')::integer, 3),
            to_hours(coalesce(getvariable('hours')::integer, 26))
        ) as allowed
    from kept
)

select
    data_type,
    venue,
    instrument,
    timeframe,
    end_ts as start_ts,
    (select now from present) as end_ts,
    if(
        data_type = 'ohlcv',
        lake_slot(
            epoch_us((select now from present)) + 1 - epoch_us(length),
            lake_step(timeframe),
            lake_anchor(timeframe, venue)
        ) - lake_slot(epoch_us(end_ts), lake_step(timeframe), lake_anchor(timeframe, venue)),
        null
    )::bigint as rows,
    concat(
        'the newest row is of ',
        newest_ts,
        if(
            asked_until >= (select now from present) - allowed,
            concat(', though the venue was asked until ', asked_until),
            concat('; last asked for at ', asked_at)
        )
    ) as detail
from late
where end_ts < (select now from present) - allowed
    -- It was up to date when it was last asked for.
    and asked_until >= asked_at - allowed
order by data_type, venue, instrument, timeframe;
