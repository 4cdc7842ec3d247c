-- session: copied
-- version: 1
-- dialect: duckdb
-- reads: the catalog's copy in memory
-- makes: lake.candle_files: one row a candle file
create or replace view lake.candle_files as
select
    series.venue,
    series.instrument,
    series.timeframe,
    partitions.path,
    partitions.schema_version
from catalog.partitions as partitions
inner join catalog.series as series on partitions.series_id = series.series_id
where series.data_type = 'ohlcv';
