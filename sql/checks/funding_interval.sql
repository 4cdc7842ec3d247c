-- check: funding_interval
-- version: 1
-- severity: info
-- reads: funding_rates
-- reach: series
-- parameters: none
-- returns: one row a change of the time between settlements, at the first that came after the new
--      one; rows is how many settlements kept to it
-- blind to: an interval that was kept to only once, which may as well be a hole or a late start
-- why: venues change intervals (8h, 4h, 1h) and say only the current one. A rate is per interval, so
--      rates on both sides of a change cannot be compared, nor annualised alike
with settlements as (
    select
        venue,
        instrument,
        ts,
        epoch_us(ts) - epoch_us(
            lag(ts) over (
                partition by venue, instrument
                order by ts
            )
        ) as spacing
    from checked_funding_rates
),

neighbours as (
    select
        settlements.*,
        lag(spacing) over in_order as before,
        lead(spacing) over in_order as after
    from settlements
    where spacing > 0
    window in_order as (partition by venue, instrument order by ts)
),

kept as (
    select
        venue,
        instrument,
        ts,
        spacing,
        lag(spacing) over (
            partition by venue, instrument
            order by ts
        ) as spacing_before
    from neighbours
    where spacing = before
        or spacing = after
),

numbered as (
    select
        kept.*,
        sum((spacing is distinct from spacing_before)::integer) over (
            partition by venue, instrument
            order by ts
            rows between unbounded preceding and current row
        ) as run
    from kept
),

runs as (
    select
        venue,
        instrument,
        run,
        min(ts) as start_ts,
        max(ts) + interval 1 microsecond as end_ts,
        count(*) as rows,
        any_value(spacing) as spacing,
        arg_min(spacing_before, ts) as spacing_before
    from numbered
    group by venue, instrument, run
)

select
    'funding_rates' as data_type,
    venue,
    instrument,
    null::varchar as timeframe,
    start_ts,
    end_ts,
    rows,
    concat(
        'the interval changed from ', spacing_before / 3600000000, ' h to ',
        spacing / 3600000000, ' h, for ', rows, ' settlements'
    ) as detail
from runs
where run > 1
order by venue, instrument, timeframe, start_ts;
