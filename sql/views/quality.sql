-- view: quality
-- version: 2
-- dialect: duckdb
-- reads: lake.series, lake.partitions, lake.quarantine, lake.check_runs, lake.check_counts (one state
--      each), gaps: no Parquet file is opened
-- returns: one row a series: what is held, and for candles how much of what could be. Missing are
--      the candles of the series' gaps but those from before the listing, after the end, and of
--      what expired, where nobody expects any; for other data types missing_count is null.
--      Duplicates are those that the newest `lake check --deep` found; null where none was run
create or replace view quality as
with held as (
    select
        partitions.series_id,
        min(partitions.min_ts) as first_us,
        max(partitions.max_ts) as last_us,
        sum(partitions.rows) as rows,
        count(*) as files,
        sum(partitions.bytes) as bytes
    from lake.partitions as partitions
    group by partitions.series_id
),

lacking as (
    select
        gaps.venue,
        gaps.instrument,
        gaps.timeframe,
        sum(gaps.missing_count) as missing_count,
        count(*) as gap_count
    from gaps
    where gaps.reason not in ('before_listing', 'after_delisting', 'expired')
    group by gaps.venue, gaps.instrument, gaps.timeframe
),

rejected as (
    select
        series_id,
        count(*) as rejected_count
    from lake.quarantine
    group by series_id
),

looked as (
    select
        check_runs.name,
        arg_max(check_runs.run_id, check_runs.started_at) as run_id
    from lake.check_runs as check_runs
    where check_runs.name in ('duplicates', 'trade_twice')
        and check_runs.status <> 'failed'
        and check_runs.scope = '{}'
    group by check_runs.name
),

doubled as (
    select
        results.data_type,
        results.venue,
        results.instrument,
        results.timeframe,
        sum(results.rows) as duplicate_count
    from lake.check_counts as results
    inner join looked on looked.run_id = results.run_id
    group by all
),

told as (
    select
        series.data_type,
        series.venue,
        series.instrument,
        series.timeframe,
        make_timestamp(held.first_us) as first_ts,
        make_timestamp(held.last_us) as last_ts,
        coalesce(held.rows, 0)::bigint as rows,
        if(series.data_type = 'ohlcv', coalesce(lacking.missing_count, 0), null)::bigint
            as missing_count,
        if(series.data_type = 'ohlcv', coalesce(lacking.gap_count, 0), null)::bigint as gap_count,
        coalesce(rejected.rejected_count, 0)::bigint as rejected_count,
        case
            when series.data_type in ('ohlcv', 'trades') and looked.run_id is not null
                then coalesce(doubled.duplicate_count, 0)
        end::bigint as duplicate_count,
        coalesce(held.files, 0)::bigint as files,
        coalesce(held.bytes, 0)::bigint as bytes
    from lake.series as series
    left join held on held.series_id = series.series_id
    left join lacking
        on lacking.venue = series.venue
        and lacking.instrument = series.instrument
        and lacking.timeframe = series.timeframe
    left join rejected on rejected.series_id = series.series_id
    left join looked
        on looked.name = if(series.data_type = 'ohlcv', 'duplicates', 'trade_twice')
    left join doubled
        on doubled.data_type = series.data_type
        and doubled.venue = series.venue
        and doubled.instrument = series.instrument
        and doubled.timeframe is not distinct from series.timeframe
)

select
    told.*,
    rows + missing_count as expected_count,
    date_trunc('second', current_timestamp at time zone 'UTC')
    - (last_ts + coalesce(lake_length(timeframe), interval 0 second)) as age,
    rows / nullif(rows + missing_count, 0) as completeness_ratio
from told
order by data_type, venue, instrument, timeframe;
