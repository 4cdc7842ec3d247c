-- macro: lake_slot
-- version: 1
-- dialect: duckdb
-- parameters: us (bigint): microseconds since 1970; timeframe (varchar): as paths spell it; venue
--      (varchar)
-- returns: the number, on the venue's grid, of the first candle that opens at that moment or later
create or replace macro lake_slot(us, timeframe, venue) as
case
    when timeframe = '1mo'
        then year(make_timestamp(us - 1)) * 12 + month(make_timestamp(us - 1))
    else (
        us - lake_anchor(timeframe, venue)
        + (epoch(lake_length(if(timeframe = '1mo', '1d', timeframe))) * 1000000)::bigint - 1
    ) // (epoch(lake_length(if(timeframe = '1mo', '1d', timeframe))) * 1000000)::bigint
end;
