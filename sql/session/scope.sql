-- session: scope
-- version: 1
-- dialect: duckdb
-- reads: lake.files, and the variables check_series (bigint[]), check_since, check_until
--      (timestamp): what to look at; unset is all of it
-- sets: check_files_{kind}: the paths of the files of {kind} that can hold such rows
-- why: a check names no file; the same text looks at one series or at the whole lake
set variable check_files_{kind} = (
    select list(concat(getvariable('lake_root'), '/', path) order by path)
    from lake.files
    where data_type = '{kind}'
        and (
            getvariable('check_series') is null
            or list_contains(getvariable('check_series')::bigint[], series_id)
        )
        and rows > 0
        and max_ts >= epoch_us(coalesce(getvariable('check_since')::timestamp, timestamp '0001-01-01'))
        and min_ts < epoch_us(coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01'))
);
