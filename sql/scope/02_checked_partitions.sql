-- scope: checked_partitions
-- version: 1
-- dialect: duckdb
-- reads: lake.partitions, lake.series, and the variables check_series, check_since, check_until
-- returns: the files that a check looks at, as the catalog knows them, one row each
create or replace view checked_partitions as
select
    series.series_id,
    series.data_type,
    series.venue,
    series.instrument,
    series.timeframe,
    partitions.path,
    make_timestamp(partitions.range_start) as range_start,
    make_timestamp(partitions.range_end) as range_end,
    partitions.rows,
    make_timestamp(partitions.min_ts) as min_ts,
    make_timestamp(partitions.max_ts) as max_ts,
    partitions.gap_runs::json::bigint[][] as gap_runs,
    partitions.missing,
    partitions.bytes,
    partitions.sha256,
    partitions.schema_version,
    partitions.generation,
    make_timestamp(partitions.written_at) as written_at
from lake.partitions as partitions
inner join checked_series as series on partitions.series_id = series.series_id
where partitions.range_end > epoch_us(coalesce(getvariable('check_since')::timestamp, timestamp '0001-01-01'))
    and partitions.range_start < epoch_us(coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01'));
