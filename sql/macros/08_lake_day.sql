-- macro: lake_day
-- version: 1
-- dialect: duckdb
-- parameters: moment (timestamp or null); otherwise (varchar): what stands for null
-- returns: the day of the moment as paths name it, year=2024/month=01/day=05
create or replace macro lake_day(moment, otherwise) as
coalesce(strftime(moment, 'year=%Y/month=%m/day=%d'), otherwise);
