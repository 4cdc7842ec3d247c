-- macro: lake_bucket
-- version: 2
-- dialect: duckdb
-- parameters: kind (varchar): a data type; key (varchar): as lake_key gives it
-- returns: the text with the lines of some held series, that of the key among them. A line is
--      KEY, the path of a file with \1, \2, \3 for year, month and day, how much of a moment tells
--      its period, and the periods, separated by tabs
-- why: table functions may not contain subqueries but may read a variable, and one variable for
--      all series of a large lake costs milliseconds in every query
create or replace macro lake_bucket(kind, key) as
getvariable('lake_' || kind || '_' || (hash(key) % getvariable('lake_buckets')));
