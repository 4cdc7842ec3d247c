-- macro: lake_span
-- version: 2
-- dialect: duckdb
-- parameters: timeframe (varchar): as paths spell it
-- returns: how long its candles are, as it stands in a query
create or replace macro lake_span(timeframe) as
concat('interval ''', replace(replace(timeframe, 'mo', 'mon'), '''', ''), '''');
