-- scope: checked_places
-- version: 1
-- dialect: duckdb
-- reads: the files of trades, books and funding rates that scope.sql chose
-- returns: of every row but candles its place in its file from 0, its ts, and the period that the
--      path of the file names (null where paths name no such part); candles: checked_positions
create or replace view checked_places as
from query(
    if(
        coalesce(len(getvariable('check_files_trades')), 0) = 0,
        'select
            null::varchar as data_type, null::varchar as file, null::bigint as place,
            null::timestamp as ts, null::varchar as venue, null::varchar as instrument,
            null::smallint as year, null::tinyint as month, null::tinyint as day
         where false',
        'select
            ''trades'' as data_type, filename as file, file_row_number as place, ts, venue,
            instrument, year, month, day
         from read_parquet(
            getvariable(''check_files_trades''),
            filename = true,
            file_row_number = true,
            hive_partitioning = true,
            hive_types = {
                ''venue'': varchar, ''instrument'': varchar, ''year'': smallint,
                ''month'': tinyint, ''day'': tinyint
            }
         )'
    )
)
union all by name
from query(
    if(
        coalesce(len(getvariable('check_files_orderbook')), 0) = 0,
        'select null::varchar as data_type where false',
        'select
            ''orderbook'' as data_type, filename as file, file_row_number as place, ts, venue,
            instrument, year, month, day
         from read_parquet(
            getvariable(''check_files_orderbook''),
            filename = true,
            file_row_number = true,
            hive_partitioning = true,
            hive_types = {
                ''venue'': varchar, ''instrument'': varchar, ''year'': smallint,
                ''month'': tinyint, ''day'': tinyint
            }
         )'
    )
)
union all by name
from query(
    if(
        coalesce(len(getvariable('check_files_funding_rates')), 0) = 0,
        'select null::varchar as data_type where false',
        'select
            ''funding_rates'' as data_type, filename as file, file_row_number as place, ts, venue,
            instrument, year
         from read_parquet(
            getvariable(''check_files_funding_rates''),
            filename = true,
            file_row_number = true,
            hive_partitioning = true,
            hive_types = {''venue'': varchar, ''instrument'': varchar, ''year'': smallint}
         )'
    )
);
