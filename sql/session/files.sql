-- session: files
-- version: 3
-- dialect: duckdb
-- reads: lake.partitions, lake.series: the catalog's copies in memory, of one state
-- makes: lake.files: one row a Parquet file
create or replace view lake.files as
select
    series.data_type,
    series.venue,
    series.instrument,
    series.timeframe,
    partitions.path,
    partitions.schema_version::integer as schema_version
from lake.partitions as partitions
inner join lake.series as series on partitions.series_id = series.series_id;
