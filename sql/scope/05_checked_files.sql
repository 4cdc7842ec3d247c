-- scope: checked_files
-- version: 1
-- dialect: duckdb
-- reads: the files that scope.sql chose, lake.partitions, lake.series
-- returns: the files whose rows a check reads, one row each, with their numbers in the views of
--      places: a number a row is cheaper than venue and instrument a row
create or replace view checked_files as
with chosen as (
    select
        unnest([
            {'data_type': 'ohlcv', 'paths': getvariable('check_files_ohlcv')::varchar[]},
            {'data_type': 'trades', 'paths': getvariable('check_files_trades')::varchar[]},
            {'data_type': 'orderbook', 'paths': getvariable('check_files_orderbook')::varchar[]},
            {'data_type': 'funding_rates', 'paths': getvariable('check_files_funding_rates')::varchar[]}
        ]) as kind
),

numbered as (
    select
        kind.data_type as data_type,
        unnest(kind.paths) as file,
        generate_subscripts(kind.paths, 1) - 1 as file_number
    from chosen
)

select
    numbered.data_type,
    numbered.file_number,
    partitions.path,
    partitions.series_id,
    series.venue,
    series.instrument,
    series.timeframe,
    series.variant,
    make_timestamp(partitions.range_start) as range_start,
    make_timestamp(partitions.range_end) as range_end,
    partitions.rows,
    make_timestamp(partitions.min_ts) as min_ts,
    make_timestamp(partitions.max_ts) as max_ts
from numbered
inner join lake.partitions as partitions
    on numbered.file = concat(getvariable('lake_root'), '/', partitions.path)
inner join lake.series as series on partitions.series_id = series.series_id;
