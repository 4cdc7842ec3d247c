-- macro: lake_slot_open
-- version: 2
-- dialect: duckdb
-- parameters: slot (bigint): as lake_slot gives it; step, anchor (bigint)
-- returns: when that candle opens
create or replace macro lake_slot_open(slot, step, anchor) as
coalesce(
    make_timestamp(anchor + slot * step),
    timestamp '1970-01-01' + to_months((slot - 1970 * 12)::integer)
);
