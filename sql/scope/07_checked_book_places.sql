-- scope: checked_book_places
-- version: 1
-- dialect: duckdb
-- reads: the files of orderbook that scope.sql chose
-- returns: every book with the number of its file (checked_files says which one that is) and its
--      place in that file from 0
-- why: what is wrong with books stands in runs, and places tell where one begins and ends
create or replace view checked_book_places as
from query(
    if(
        coalesce(len(getvariable('check_files_orderbook')), 0) = 0,
        'select
            null::bigint as file_number,
            null::bigint as place,
            null::timestamp as ts,
            null::bigint as sequence,
            null::double as best_bid,
            null::double as best_bid_quantity,
            null::double as best_ask,
            null::double as best_ask_quantity,
            null::double[] as bid_prices,
            null::double[] as bid_quantities,
            null::double[] as ask_prices,
            null::double[] as ask_quantities
         where false',
        'select
            file_index::bigint as file_number,
            file_row_number as place,
            ts,
            sequence,
            best_bid,
            best_bid_quantity,
            best_ask,
            best_ask_quantity,
            bid_prices,
            bid_quantities,
            ask_prices,
            ask_quantities
         from read_parquet(
            getvariable(''check_files_orderbook''),
            file_row_number = true,
            hive_partitioning = false
         )'
    )
)
where (getvariable('check_since') is null or ts >= getvariable('check_since')::timestamp)
    and (getvariable('check_until') is null or ts < getvariable('check_until')::timestamp);
