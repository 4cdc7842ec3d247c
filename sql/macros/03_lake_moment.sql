-- macro: lake_moment
-- version: 1
-- dialect: duckdb
-- parameters: moment: text (with or without an offset), date, timestamp with or without zone
-- returns: it as a UTC timestamp without a zone
-- why: ::timestamp alone drops the offset of a text; the session's zone is UTC
create or replace macro lake_moment(moment) as moment::timestamptz::timestamp;
