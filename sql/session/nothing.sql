-- session: nothing
-- version: 1
-- dialect: duckdb
-- sets: lake_ohlcv: no series at all; lake_mixed: false
-- why: making a view opens what it reads; a damaged file must not keep the others from being asked
set variable lake_ohlcv = []::struct(
    venue varchar,
    instrument varchar,
    timeframe varchar,
    id varchar,
    months varchar
)[];

set variable lake_mixed = false;
