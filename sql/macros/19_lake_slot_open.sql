-- macro: lake_slot_open
-- version: 1
-- dialect: duckdb
-- parameters: slot (bigint): as lake_slot gives it; timeframe, venue (varchar)
-- returns: when that candle opens
create or replace macro lake_slot_open(slot, timeframe, venue) as
case
    when timeframe = '1mo' then timestamp '1970-01-01' + to_months((slot - 1970 * 12)::integer)
    else make_timestamp(
        lake_anchor(timeframe, venue)
        + slot * (epoch(lake_length(if(timeframe = '1mo', '1d', timeframe))) * 1000000)::bigint
    )
end;
