-- scope: checked_series
-- version: 1
-- dialect: duckdb
-- reads: lake.series, and the variable check_series
-- returns: the series that a check looks at, one row each
create or replace view checked_series as
select
    series_id,
    data_type,
    venue,
    instrument,
    timeframe,
    variant,
    origin,
    make_timestamp(retained_from) as retained_from,
    make_timestamp(wanted_start) as wanted_start,
    make_timestamp(wanted_end) as wanted_end,
    make_timestamp(first_available) as first_available
from lake.series
where getvariable('check_series') is null
    or list_contains(getvariable('check_series')::bigint[], series_id);
