-- macro: lake_suffix
-- version: 1
-- dialect: duckdb
-- parameters: kind (varchar): a data type
-- returns: how its rows are read: _mixed where some file is of another schema
create or replace macro lake_suffix(kind) as
if(getvariable('lake_mixed_' || kind), '_mixed', '_rows');
