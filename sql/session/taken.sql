-- session: taken
-- version: 1
-- dialect: duckdb
-- reads: the variable lake_holdings
-- sets: lake_ohlcv: its series; lake_mixed: whether columns are matched by name, which opens every
--      file at once
set variable lake_ohlcv = getvariable('lake_holdings')['series'];

set variable lake_mixed = getvariable('lake_holdings')['is_mixed'];
