-- macro: lake_yearly
-- version: 2
-- dialect: duckdb
-- parameters: timeframe (varchar): as paths spell it
-- returns: how many candles a year of 365 days has; markets never close
create or replace macro lake_yearly(timeframe) as
coalesce(31536000000000 / lake_step(timeframe), 12);
