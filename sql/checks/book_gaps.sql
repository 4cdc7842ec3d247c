-- check: book_gaps
-- version: 1
-- severity: warning
-- reads: catalog
-- reach: series
-- parameters: broken = 1.75: so many times the usual spacing breaks it, between two files
-- returns: one row a break in the spacing of snapshots, from the first that is missing to the next
--      that is held: those that the catalog keeps of each file, and those between files
-- blind to: what lies before the first and after the last snapshot; feeds without a usual spacing;
--      and what coverage that promises nothing says was recorded, because a book that does not
--      change is not stored again
-- why: venues keep no past books, so nothing fills such a break; who averages over it must know
with files as (
    select
        series_id,
        venue,
        instrument,
        path,
        rows,
        min_ts,
        max_ts,
        gap_runs,
        missing,
        lag(max_ts) over (
            partition by series_id
            order by min_ts
        ) as max_before
    from checked_partitions
    where data_type = 'orderbook'
        and rows > 0
),

stored as (
    select
        series_id,
        path,
        make_timestamp(unnest(gap_runs)[1]) as start_ts,
        make_timestamp(unnest(gap_runs)[2]) as end_ts
    from files
    where len(gap_runs) > 0
),

absent as (
    select
        path,
        sum(epoch_us(end_ts) - epoch_us(start_ts)) as width
    from stored
    group by path
),

spaced as (
    select
        files.*,
        (epoch_us(files.max_ts) - epoch_us(files.min_ts) - coalesce(absent.width, 0))
            / nullif(files.rows - 1, 0) as step
    from files
    left join absent on files.path = absent.path
),

between_files as (
    select
        spaced.*,
        greatest(
            step,
            lag(step) over (
                partition by series_id
                order by min_ts
            )
        ) as wider
    from spaced
),

breaks as (
    select
        spaced.series_id,
        stored.start_ts,
        stored.end_ts,
        spaced.step
    from stored
    inner join spaced on stored.path = spaced.path

    union all

    select
        series_id,
        max_before + to_microseconds(wider::bigint) as start_ts,
        min_ts as end_ts,
        wider as step
    from between_files
    where epoch_us(min_ts) - epoch_us(max_before)
        >= wider * coalesce(getvariable('broken')::double, 1.75)
),

recorded as (
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
    where data_type = 'orderbook'
        and basis = 'rows_only'
),

numbered as (
    select
        recorded.*,
        sum(is_new::integer) over (
            partition by series_id
            order by start_time
            rows between unbounded preceding and current row
        ) as island
    from recorded
),

islands as (
    select
        series_id,
        min(start_time) as start_time,
        max(end_time) as end_time
    from numbered
    group by series_id, island
),

clipped as (
    select
        breaks.series_id,
        breaks.step,
        greatest(
            breaks.start_ts,
            max(islands.end_time) filter (islands.start_time <= breaks.start_ts)
        ) as start_ts,
        least(
            breaks.end_ts,
            min(islands.start_time) filter (islands.end_time >= breaks.end_ts)
        ) as end_ts
    from breaks
    left join islands
        on breaks.series_id = islands.series_id
        and islands.start_time < breaks.end_ts
        and islands.end_time > breaks.start_ts
    group by breaks.series_id, breaks.step, breaks.start_ts, breaks.end_ts
)

select
    'orderbook' as data_type,
    series.venue,
    series.instrument,
    null::varchar as timeframe,
    clipped.start_ts,
    clipped.end_ts,
    greatest(
        1,
        round((epoch_us(clipped.end_ts) - epoch_us(clipped.start_ts)) / clipped.step)
    )::bigint as rows,
    concat(
        'no snapshot for ', clipped.end_ts - clipped.start_ts, ', where one every ',
        round(clipped.step / 1000000, 3), ' s is usual'
    ) as detail
from clipped
inner join checked_series as series on clipped.series_id = series.series_id
where clipped.start_ts < clipped.end_ts
order by series.venue, series.instrument, timeframe, clipped.start_ts;
