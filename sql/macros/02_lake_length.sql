-- macro: lake_length
-- version: 2
-- dialect: duckdb
-- parameters: timeframe (varchar): as paths spell it
-- returns: how long its candles are (interval); a candle is known when ts + this has passed
create or replace macro lake_length(timeframe) as replace(timeframe, 'mo', 'mon')::interval;
