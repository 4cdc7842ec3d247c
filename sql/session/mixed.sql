-- session: mixed
-- version: 1
-- dialect: duckdb
-- reads: catalog.partitions
-- parameters: the variable lake_schema_version: what this program writes
-- sets: lake_mixed: whether some file has fewer columns than this program knows
-- why: columns are then matched by name, which opens every file at once; all else need not
set variable lake_mixed = (
    select coalesce(bool_or(partitions.schema_version <> getvariable('lake_schema_version')), false)
    from catalog.partitions as partitions
    inner join catalog.series as series on partitions.series_id = series.series_id
    where series.data_type = 'ohlcv'
);
