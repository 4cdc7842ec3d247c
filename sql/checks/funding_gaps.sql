-- check: funding_gaps
-- version: 1
-- severity: warning
-- reads: funding_rates
-- reach: series
-- repair: refetch
-- parameters: none
-- returns: one row a stretch without the settlements that those around it lead one to expect, from
--      the first that is missing to the next that is held; rows is the least that can be missing
-- blind to: settlements before the first and after the last, and a series of two settlements
-- why: a funding cost over such a stretch is too small. It is found as the lake counts it
--      (lake/domain/settlements.py): a spacing is a hole where it is wider than what the three before
--      and the three after show and does not come three times in a row, so a venue that changes its
--      interval for good has no gap
with settlements as (
    select
        venue,
        instrument,
        ts,
        lead(ts) over (
            partition by venue, instrument
            order by ts
        ) as next_ts
    from checked_funding_rates
),

spacings as (
    select
        venue,
        instrument,
        ts,
        next_ts,
        epoch_us(next_ts) - epoch_us(ts) as spacing
    from settlements
    where next_ts > ts
),

neighbours as (
    select
        spacings.*,
        min(spacing) over (partition by venue, instrument) as least_spacing,
        min(spacing) over earlier as least_before,
        min(spacing) over later as least_after,
        max(spacing) over earlier as most_before,
        max(spacing) over later as most_after,
        lag(spacing) over in_order as before_1,
        lag(spacing, 2) over in_order as before_2,
        lead(spacing) over in_order as after_1,
        lead(spacing, 2) over in_order as after_2
    from spacings
    window
        in_order as (partition by venue, instrument order by ts),
        earlier as (
            partition by venue, instrument
            order by ts
            rows between 3 preceding and 1 preceding
        ),
        later as (
            partition by venue, instrument
            order by ts
            rows between 1 following and 3 following
        )
),

expected as (
    select
        neighbours.*,
        case
            when least_before is not null and least_after is not null
                then greatest(least_before, least_after)
            else coalesce(most_before, most_after)
        end as step
    from neighbours
    where 2 * spacing >= 3 * least_spacing
        and not coalesce(
            (spacing = before_1 and spacing = before_2)
            or (spacing = before_1 and spacing = after_1)
            or (spacing = after_1 and spacing = after_2),
            false
        )
),

holes as (
    select
        venue,
        instrument,
        ts + to_microseconds(step) as start_ts,
        next_ts as end_ts,
        (2 * spacing + step) // (2 * step) - 1 as rows,
        step / 3600000000 as hours
    from expected
),

promised as (
    select
        holes.venue,
        holes.instrument,
        holes.start_ts,
        string_agg(distinct concat(coverage.source, ' ', coverage.basis), ', ') as who
    from holes
    inner join checked_coverage as coverage
        on coverage.data_type = 'funding_rates'
        and coverage.basis <> 'rows_only'
        and holes.venue = coverage.venue
        and holes.instrument = coverage.instrument
        and holes.start_ts < coverage.end_time
        and holes.end_ts > coverage.start_time
    group by holes.venue, holes.instrument, holes.start_ts
)

select
    'funding_rates' as data_type,
    holes.venue,
    holes.instrument,
    null::varchar as timeframe,
    holes.start_ts,
    holes.end_ts,
    holes.rows,
    concat(
        holes.rows, if(holes.rows = 1, ' settlement is', ' settlements are'), ' missing, ',
        holes.hours, ' h apart; ',
        coalesce('covered by ' || promised.who, 'nobody promises that there are none')
    ) as detail
from holes
left join promised
    on holes.venue = promised.venue
    and holes.instrument = promised.instrument
    and holes.start_ts = promised.start_ts
where holes.rows > 0
order by holes.venue, holes.instrument, timeframe, holes.start_ts;
