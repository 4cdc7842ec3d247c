-- session: nothing
-- version: 2
-- dialect: duckdb
-- sets: for the data type {kind}: that nothing is held
-- why: making a view opens what it reads; a damaged file must not keep the others from being asked
set variable lake_{kind} = '';

set variable lake_mixed_{kind} = false;
