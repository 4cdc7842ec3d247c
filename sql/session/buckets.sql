-- session: buckets
-- version: 1
-- dialect: duckdb
-- reads: lake.held
-- returns: one row a bucket that holds lines: data type, number, and what differs when they change
select
    data_type,
    (hash(key) % getvariable('lake_buckets'))::bigint as bucket,
    md5(string_agg(line, '' order by key)) as content
from lake.held
group by all;
