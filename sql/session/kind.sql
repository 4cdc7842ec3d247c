-- session: kind
-- version: 1
-- dialect: duckdb
-- reads: lake.held
-- sets: lake_{kind}: the lines of all series of the data type {kind}; lake_mixed_{kind}: whether
--      files of another schema are among theirs
set variable lake_{kind} = (
    select coalesce(string_agg(line, '' order by key), '')
    from lake.held
    where data_type = '{kind}'
);

set variable lake_mixed_{kind} = (
    select coalesce(bool_or(is_mixed), false)
    from lake.held
    where data_type = '{kind}'
);
