-- macro: lake_timeframe
-- version: 2
-- dialect: duckdb
-- parameters: name (varchar): a timeframe as people write it
-- returns: its name in paths; ccxt's 1M is the month, 1m the minute
create or replace macro lake_timeframe(name) as lower(regexp_replace(name, '^1M[oO]?$', '1mo'));
