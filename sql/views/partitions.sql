-- view: partitions
-- version: 1
-- dialect: duckdb
-- reads: lake.partitions, lake.series (one state of the catalog)
-- returns: one row a Parquet file, with its path below parquet/; times UTC
create or replace view partitions as
select
    partitions.path,
    series.venue,
    series.instrument,
    series.data_type,
    series.timeframe,
    make_timestamp(partitions.range_start) as start_time,
    make_timestamp(partitions.range_end) as end_time,
    partitions.rows,
    make_timestamp(partitions.min_ts) as min_ts,
    make_timestamp(partitions.max_ts) as max_ts,
    partitions.missing,
    partitions.bytes,
    partitions.sha256,
    partitions.schema_version,
    partitions.generation,
    partitions.job_id,
    make_timestamp(partitions.written_at) as written_at
from lake.partitions as partitions
inner join lake.series as series on partitions.series_id = series.series_id
order by partitions.path;
