-- macro: lake_is_empty
-- version: 1
-- dialect: duckdb
-- parameters: kind (varchar): a data type; name (varchar): a timeframe, * for all
-- returns: whether nothing of it is held
create or replace macro lake_is_empty(kind, name) as (
    not contains(
        getvariable('lake_' || kind),
        if(name = '*', chr(9), concat(' ', name, chr(9)))
    )
);
