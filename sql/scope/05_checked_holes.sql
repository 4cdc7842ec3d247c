-- scope: checked_holes
-- version: 1
-- dialect: duckdb
-- reads: the views gaps, checked_series and checked_coverage
-- returns: runs of missing candles inside of what was answered or imported, one row a run and a
--      part of coverage, whatever their reason; what was never asked for is no hole
create or replace view checked_holes as
with told as (
    select
        series.series_id,
        series.venue,
        series.instrument,
        series.timeframe,
        gaps.gap_start,
        gaps.gap_end,
        coalesce(
            lag(gaps.gap_end) over (partition by series.series_id order by gaps.gap_start)
            <> gaps.gap_start,
            true
        ) as is_new
    from gaps
    inner join checked_series as series
        on series.data_type = 'ohlcv'
        and series.venue = gaps.venue
        and series.instrument = gaps.instrument
        and series.timeframe = gaps.timeframe
    where gaps.reason in (
            'lost_by_source', 'venue_outage', 'no_trades', 'venue_has_none', 'not_fetched'
        )
        and gaps.gap_end > coalesce(getvariable('check_since')::timestamp, timestamp '-infinity')
        and gaps.gap_start < coalesce(getvariable('check_until')::timestamp, timestamp 'infinity')
),

numbered as (
    select
        told.*,
        sum(is_new::integer) over (partition by series_id order by gap_start) as run
    from told
),

runs as (
    select
        series_id,
        any_value(venue) as venue,
        any_value(instrument) as instrument,
        any_value(timeframe) as timeframe,
        min(gap_start) as start_ts,
        max(gap_end) as end_ts
    from numbered
    group by series_id, run
)

select
    runs.series_id,
    runs.venue,
    runs.instrument,
    runs.timeframe,
    greatest(runs.start_ts, coverage.start_time) as start_ts,
    least(runs.end_ts, coverage.end_time) as end_ts,
    coverage.basis <> 'rows_only' as is_promised
from runs
inner join checked_coverage as coverage
    on coverage.series_id = runs.series_id
    and coverage.start_time < runs.end_ts
    and coverage.end_time > runs.start_ts;
