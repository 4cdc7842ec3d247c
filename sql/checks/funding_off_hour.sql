-- check: funding_off_hour
-- version: 1
-- severity: warning
-- reads: funding_rates
-- reach: series
-- parameters: first_hours = BITMEX 4: venues whose clock of settlements begins at another hour than
--      midnight, each with that hour
-- returns: one row a run of settlements that are not at a full hour; and one row a run of settlements,
--      2 to 12 hours apart, that are shifted against the grid that begins at midnight UTC
-- blind to: a shift by a whole interval, settlements of every hour, and fewer than four in a row
--      among others: venues settle off their grid for a day when they change the interval
-- why: venues settle at 00:00, 08:00 and 16:00 UTC (four-hourly ones also between), so 03:00, 11:00
--      and 19:00 are local times of a zone that nobody told: every join with candles is hours off
with settlements as (
    select
        venue,
        instrument,
        ts,
        epoch_us(ts) - epoch_us(lag(ts) over in_order) as before,
        epoch_us(lead(ts) over in_order) - epoch_us(ts) as after,
        row_number() over in_order as place
    from checked_funding_rates
    window in_order as (partition by venue, instrument order by ts)
),

intervals as (
    select
        settlements.*,
        coalesce(least(before, after), before, after) as spacing,
        3600000000 * coalesce(
            nullif(
                regexp_extract(
                    coalesce(getvariable('first_hours')::varchar, 'BITMEX 4'),
                    concat('\b', venue, ' (\d+)'),
                    1
                ),
                ''
            )::bigint,
            0
        ) as first
    from settlements
),

shifts as (
    select
        venue,
        instrument,
        ts,
        place,
        spacing,
        case
            when epoch_us(ts) % 3600000000 <> 0 then -1
            when spacing between 2 * 3600000000::bigint and 12 * 3600000000::bigint
                and 86400000000 % spacing = 0
                then (epoch_us(ts) - first) % spacing
            else 0
        end as shift
    from intervals
),

numbered as (
    select
        shifts.*,
        place - row_number() over (
            partition by venue, instrument, shift, spacing
            order by ts
        ) as run
    from shifts
    where shift <> 0
),

runs as (
    select
        venue,
        instrument,
        shift,
        spacing,
        min(ts) as start_ts,
        max(ts) + interval 1 microsecond as end_ts,
        count(*) as rows,
        if(shift <= spacing // 2, shift, shift - spacing) // 60000000 as minutes
    from numbered
    group by venue, instrument, shift, spacing, run
),

sizes as (
    select
        venue,
        instrument,
        count(*) as rows
    from settlements
    group by venue, instrument
),

told as (
    select runs.*
    from runs
    inner join sizes
        on runs.venue = sizes.venue
        and runs.instrument = sizes.instrument
    where runs.shift < 0
        or runs.rows >= least(4, sizes.rows)
)

select
    'funding_rates' as data_type,
    venue,
    instrument,
    null::varchar as timeframe,
    start_ts,
    end_ts,
    rows,
    if(
        shift < 0,
        concat(rows, ' settlements are not at a full hour, the first at ', start_ts),
        concat(
            rows, ' settlements ', spacing / 3600000000, ' h apart are at ',
            strftime(start_ts, '%H:%M'), ' and so on, off the grid of UTC: import them anew with ',
            '--timezone ', if(minutes < 0, '-', '+'),
            lpad((abs(minutes) // 60)::varchar, 2, '0'), ':',
            lpad((abs(minutes) % 60)::varchar, 2, '0'), ' if their file was written in local time'
        )
    ) as detail
from told
order by venue, instrument, timeframe, start_ts;
