-- scope: checked_positions
-- version: 1
-- dialect: duckdb
-- reads: the candle files that scope.sql chose
-- returns: of every candle the number of its file among those read, its place in that file from 0,
--      and its slot on the grid: what tells order and neighbours without sorting anything
create or replace view checked_positions as
from query(
    if(
        coalesce(len(getvariable('check_files_ohlcv')), 0) = 0,
        'select
            null::bigint as file_number, null::bigint as place, null::bigint as slot,
            null::timestamp as ts, null::varchar as venue, null::varchar as instrument,
            null::varchar as timeframe, null::smallint as year, null::tinyint as month
         where false',
        'select
            file_index as file_number,
            file_row_number as place,
            lake_slot(epoch_us(ts), lake_step(timeframe), lake_anchor(timeframe, venue)) as slot,
            ts, venue, instrument, timeframe, year, month
         from read_parquet(
            getvariable(''check_files_ohlcv''),
            file_row_number = true,
            hive_partitioning = true,
            hive_types = {
                ''venue'': varchar, ''instrument'': varchar, ''timeframe'': varchar,
                ''year'': smallint, ''month'': tinyint
            }
         )'
    )
);
