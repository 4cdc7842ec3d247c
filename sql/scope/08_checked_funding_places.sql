-- scope: checked_funding_places
-- version: 1
-- dialect: duckdb
-- reads: the files of funding_rates that scope.sql chose
-- returns: every settlement with the number of its file (checked_files says which one that is) and its
--      place in that file from 0
-- why: a row counts for its file, whatever its path says
create or replace view checked_funding_places as
from query(
    if(
        coalesce(len(getvariable('check_files_funding_rates')), 0) = 0,
        'select
            null::bigint as file_number,
            null::bigint as place,
            null::timestamp as ts,
            null::double as funding_rate
         where false',
        'select
            file_index::bigint as file_number,
            file_row_number as place,
            ts,
            funding_rate
         from read_parquet(
            getvariable(''check_files_funding_rates''),
            file_row_number = true,
            hive_partitioning = false
         )'
    )
)
where (getvariable('check_since') is null or ts >= getvariable('check_since')::timestamp)
    and (getvariable('check_until') is null or ts < getvariable('check_until')::timestamp);
