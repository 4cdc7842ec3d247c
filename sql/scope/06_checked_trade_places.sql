-- scope: checked_trade_places
-- version: 1
-- dialect: duckdb
-- reads: the files of trades that scope.sql chose
-- returns: every trade with the number of its file (checked_files says which one that is) and its
--      place in that file from 0
-- why: rows come in the order of their files, so `lag(...) over ()` is the row before without any
--      sorting: DuckDB streams it in constant memory (10 M trades in 0.15 s). A check compares only
--      where the places say that the two are neighbours
create or replace view checked_trade_places as
from query(
    if(
        coalesce(len(getvariable('check_files_trades')), 0) = 0,
        'select
            null::bigint as file_number,
            null::bigint as place,
            null::timestamp as ts,
            null::bigint as trade_id,
            null::varchar as trade_ref,
            null::double as price,
            null::double as quantity,
            null::varchar as side,
            null::bigint as first_trade_id,
            null::bigint as last_trade_id
         where false',
        'select
            file_index::bigint as file_number,
            file_row_number as place,
            ts,
            trade_id,
            trade_ref,
            price,
            quantity,
            side,
            first_trade_id,
            last_trade_id
         from read_parquet(
            getvariable(''check_files_trades''),
            file_row_number = true,
            hive_partitioning = false
         )'
    )
)
where (getvariable('check_since') is null or ts >= getvariable('check_since')::timestamp)
    and (getvariable('check_until') is null or ts < getvariable('check_until')::timestamp);
