-- check: uncovered_rows
-- version: 1
-- severity: warning
-- reads: catalog
-- reach: series
-- parameters: settle_hours = 48: rows that follow coverage may be so much younger than its end, because
--      they had not settled when they came
-- returns: one row a file whose first or last row lies where nobody says that anything was asked for
-- blind to: rows in the middle of a file that lie between two ranges of coverage
-- why: every row came with a claim, if only that it promises nothing; one without came by another way,
--      or its coverage was lost, and the next backfill asks for it again
with ranges as (
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
),

numbered as (
    select
        ranges.*,
        sum(is_new::integer) over (
            partition by series_id
            order by start_time
            rows between unbounded preceding and current row
        ) as island
    from ranges
),

islands as (
    select
        series_id,
        min(start_time) as start_time,
        max(end_time) as end_time
    from numbered
    group by series_id, island
),

ends as (
    select
        series_id,
        max(end_time) as end_time
    from islands
    group by series_id
),

edges as (
    select
        partitions.series_id,
        partitions.path,
        partitions.min_ts,
        partitions.max_ts,
        bool_or(islands.start_time <= partitions.min_ts and partitions.min_ts < islands.end_time)
            as has_first,
        bool_or(islands.start_time <= partitions.max_ts and partitions.max_ts < islands.end_time)
            as has_last,
        min(islands.start_time) filter (islands.start_time > partitions.min_ts) as next_start,
        max(islands.end_time) filter (islands.end_time <= partitions.max_ts) as end_before
    from checked_partitions as partitions
    left join islands
        on partitions.series_id = islands.series_id
        and islands.start_time <= partitions.max_ts
        and islands.end_time >= partitions.min_ts
    where partitions.rows > 0
    group by partitions.series_id, partitions.path, partitions.min_ts, partitions.max_ts
),

uncovered as (
    select
        edges.series_id,
        edges.min_ts as start_ts,
        coalesce(edges.next_start, edges.max_ts + interval 1 microsecond) as end_ts
    from edges
    left join ends on edges.series_id = ends.series_id
    where not coalesce(edges.has_first, false)
        and not coalesce(
            edges.min_ts between ends.end_time and ends.end_time + to_hours(
                coalesce(getvariable('settle_hours')::integer, 48)
            ),
            false
        )

    union all

    select
        edges.series_id,
        coalesce(edges.end_before, edges.min_ts) as start_ts,
        edges.max_ts + interval 1 microsecond as end_ts
    from edges
    left join ends on edges.series_id = ends.series_id
    where coalesce(edges.has_first, false)
        and not coalesce(edges.has_last, false)
        and not coalesce(
            edges.max_ts between ends.end_time and ends.end_time + to_hours(
                coalesce(getvariable('settle_hours')::integer, 48)
            ),
            false
        )
)

select
    series.data_type,
    series.venue,
    series.instrument,
    series.timeframe,
    uncovered.start_ts,
    uncovered.end_ts,
    null::bigint as rows,
    'rows are held here, and nothing says that anybody asked for them' as detail
from uncovered
inner join checked_series as series on uncovered.series_id = series.series_id
order by series.venue, series.instrument, series.timeframe, uncovered.start_ts, series.data_type;
