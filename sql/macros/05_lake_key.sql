-- macro: lake_key
-- version: 3
-- dialect: duckdb
-- parameters: names (varchar): what was asked for; venue (varchar): what the name lacks, or null;
--      timeframe (varchar): as paths spell it, empty where the data type has none
-- returns: how the held series of that name is filed, where the name is one exact id
create or replace macro lake_key(names, venue, timeframe) as
concat(upper(concat(names, '.' || venue)), ' ', timeframe);
