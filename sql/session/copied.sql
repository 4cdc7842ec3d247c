-- session: copied
-- version: 2
-- dialect: duckdb
-- reads: the catalog's copy in memory
-- makes: lake.files: one row a Parquet file
create or replace view lake.files as
select
    series.data_type,
    series.venue,
    series.instrument,
    series.timeframe,
    partitions.path,
    partitions.schema_version
from catalog.partitions as partitions
inner join catalog.series as series on partitions.series_id = series.series_id;
