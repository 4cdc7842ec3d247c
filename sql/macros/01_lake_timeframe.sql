-- macro: lake_timeframe
-- version: 1
-- dialect: duckdb
-- parameters: name (varchar): a timeframe as people write it
-- returns: its name in paths; ccxt's 1M is the month, 1m the minute
create or replace macro lake_timeframe(name) as (
    case when name in ('1M', '1Mo', '1MO') then '1mo' else lower(name) end
);
