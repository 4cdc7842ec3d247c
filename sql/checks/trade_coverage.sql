-- check: trade_coverage
-- version: 1
-- severity: warning
-- reads: catalog
-- reach: series
-- parameters: none
-- returns: one row a range of trades that nobody promises: a warning between ranges that somebody
--      does, or where fetching failed; information before the first of them, after the last, and
--      where there are none (as of imports that promise nothing)
-- blind to: trades that are missing although they are promised; see trade_gaps
-- why: a sum over such a range is too small, and nothing in the rows shows it
with promised as (
    select
        series_id,
        start_time,
        end_time,
        coalesce(
            start_time > max(end_time) over (
                partition by series_id
                order by start_time
                rows between unbounded preceding and 1 preceding
            ),
            true
        ) as is_new
    from checked_coverage
    where data_type = 'trades'
        and basis <> 'rows_only'
),

numbered as (
    select
        promised.*,
        sum(is_new::integer) over (
            partition by series_id
            order by start_time
            rows between unbounded preceding and current row
        ) as island
    from promised
),

islands as (
    select
        series_id,
        island,
        min(start_time) as start_time,
        max(end_time) as end_time
    from numbered
    group by series_id, island
),

spans as (
    select series_id, start_time, end_time
    from checked_coverage

    union all

    select series_id, min_ts as start_time, max_ts + interval 1 microsecond as end_time
    from checked_partitions
    where rows > 0

    union all

    select series_id, wanted_start as start_time, wanted_end as end_time
    from checked_series
    where wanted_start is not null
),

hulls as (
    select
        series.series_id,
        series.venue,
        series.instrument,
        greatest(
            min(spans.start_time),
            any_value(series.retained_from),
            getvariable('check_since')::timestamp
        ) as start_time,
        least(max(spans.end_time), getvariable('check_until')::timestamp) as end_time
    from checked_series as series
    inner join spans on series.series_id = spans.series_id
    where series.data_type = 'trades'
    group by series.series_id, series.venue, series.instrument
),

borders as (
    select
        hulls.series_id,
        coalesce(islands.end_time, hulls.start_time) as start_time,
        coalesce(islands.island, 0) as island
    from hulls
    left join islands on hulls.series_id = islands.series_id

    union all

    select series_id, start_time, 0 as island
    from hulls
    where series_id in (select series_id from islands)
),

between_islands as (
    select
        borders.series_id,
        hulls.venue,
        hulls.instrument,
        greatest(borders.start_time, hulls.start_time) as start_time,
        least(coalesce(islands.start_time, hulls.end_time), hulls.end_time) as end_time,
        borders.island > 0 and islands.island is not null as is_inside
    from borders
    inner join hulls on borders.series_id = hulls.series_id
    left join islands
        on borders.series_id = islands.series_id
        and borders.island + 1 = islands.island
),

facts as (
    select
        series_id,
        1 as rank,
        make_timestamp(start_ts) as start_time,
        make_timestamp(end_ts) as end_time,
        concat('fetching failed: ', error) as reason
    from lake.failed_ranges

    union all

    select
        series_id,
        2 as rank,
        make_timestamp(start_ts) as start_time,
        make_timestamp(end_ts) as end_time,
        concat('beyond what the source has: ', why) as reason
    from lake.beyond_source

    union all

    select
        series_id,
        3 as rank,
        make_timestamp(start_ts) as start_time,
        make_timestamp(end_ts) as end_time,
        concat('the job was cancelled: ', why) as reason
    from lake.cancelled_ranges

    union all

    select
        series_id,
        4 as rank,
        start_time,
        end_time,
        concat('it comes from ', source, ', which does not promise to be whole') as reason
    from checked_coverage
    where basis = 'rows_only'

    union all

    select
        series_id,
        5 as rank,
        make_timestamp(start_time) as start_time,
        make_timestamp(end_time) as end_time,
        'not settled when last asked for' as reason
    from lake.ingestion_jobs
    where status = 'completed'
        and kind not in ('import', 'generate', 'derive')
),

explained as (
    select
        between_islands.venue,
        between_islands.instrument,
        between_islands.start_time,
        between_islands.end_time,
        between_islands.is_inside,
        min(facts.rank) as rank,
        string_agg(distinct facts.reason, '; ' order by facts.reason) as reasons
    from between_islands
    left join facts
        on between_islands.series_id = facts.series_id
        and facts.start_time < between_islands.end_time
        and facts.end_time > between_islands.start_time
    where between_islands.start_time < between_islands.end_time
    group by all
)

select
    'trades' as data_type,
    venue,
    instrument,
    null::varchar as timeframe,
    start_time as start_ts,
    end_time as end_ts,
    null::bigint as rows,
    concat('nobody promises all trades of this range: ', coalesce(reasons, 'never asked for'))
        as detail,
    if(is_inside or rank = 1, 'warning', 'info') as severity
from explained
order by venue, instrument, timeframe, start_ts;
