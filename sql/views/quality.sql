-- view: quality
-- version: 1
-- dialect: duckdb
-- reads: lake.series, lake.partitions (one state each), gaps: no Parquet file is opened
-- returns: one row a series: what is held, and for candles how much of what could be. Missing are
--      the candles of the series' gaps but those from before the listing, after the end, and of
--      what expired, where nobody expects any; for other data types missing_count is null
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
        coalesce(held.files, 0)::bigint as files,
        coalesce(held.bytes, 0)::bigint as bytes
    from lake.series as series
    left join held on held.series_id = series.series_id
    left join lacking
        on lacking.venue = series.venue
        and lacking.instrument = series.instrument
        and lacking.timeframe = series.timeframe
)

select
    told.*,
    rows / nullif(rows + missing_count, 0) as completeness_ratio
from told
order by data_type, venue, instrument, timeframe;
