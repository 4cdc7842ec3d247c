-- macro: lake_step
-- version: 1
-- dialect: duckdb
-- parameters: timeframe (varchar): as paths spell it
-- returns: microseconds from one candle to the next; null for calendar months
create or replace macro lake_step(timeframe) as
if(timeframe = '1mo', null, (epoch(lake_length(timeframe)) * 1000000)::bigint);
