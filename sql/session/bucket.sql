-- session: bucket
-- version: 1
-- dialect: duckdb
-- reads: lake.held
-- sets: lake_{kind}_{bucket}: the lines of those series of {kind} that fall into it
set variable lake_{kind}_{bucket} = (
    select coalesce(string_agg(line, '' order by key), '')
    from lake.held
    where data_type = '{kind}'
        and hash(key) % getvariable('lake_buckets') = {bucket}
);
