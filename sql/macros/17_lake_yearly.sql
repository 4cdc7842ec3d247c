-- macro: lake_yearly
-- version: 1
-- dialect: duckdb
-- parameters: timeframe (varchar): as paths spell it
-- returns: how many candles a year of 365 days has; markets never close
create or replace macro lake_yearly(timeframe) as
if(timeframe = '1mo', 12, 31536000 / epoch(lake_length(if(timeframe = '1mo', '1d', timeframe))));
