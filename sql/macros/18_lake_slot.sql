-- macro: lake_slot
-- version: 2
-- dialect: duckdb
-- parameters: us (bigint): microseconds since 1970; step (bigint): as lake_step gives it; anchor
--      (bigint): as lake_anchor gives it
-- returns: the number, on that grid, of the first candle that opens at that moment or later
create or replace macro lake_slot(us, step, anchor) as
coalesce(
    (us - anchor + step - 1) // step,
    year(make_timestamp(us - 1)) * 12 + month(make_timestamp(us - 1))
);
