-- session: files
-- version: 4
-- dialect: duckdb
-- reads: lake.partitions, lake.series: the catalog's copies in memory, of one state
-- makes: lake.files: one row a Parquet file
create or replace view lake.files as
select
    series.series_id,
    series.data_type,
    series.venue,
    series.instrument,
    series.timeframe,
    partitions.path,
    partitions.rows,
    partitions.min_ts,
    partitions.max_ts,
    partitions.schema_version::integer as schema_version
from lake.partitions as partitions
inner join lake.series as series on partitions.series_id = series.series_id;
