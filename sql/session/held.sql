-- session: held
-- version: 3
-- dialect: duckdb
-- reads: lake.files, and the variable lake_versions: the schemas that this program writes
-- makes: lake.held: one row a series, with the line that the macros read of it: KEY, folder, how
--      much of a period's name tells its range (a year, a month of it or a day), the periods
-- sets: lake_buckets: over how many variables the lines of a data type are spread
-- why: table functions may not contain subqueries, but they may read a variable. All comes from
--      one look into the catalog
create or replace table lake.held as
with files as (
    select
        data_type,
        venue,
        instrument,
        coalesce(timeframe, '') as timeframe,
        schema_version,
        regexp_extract(path, '^(.*)/year=', 1) as folder,
        regexp_extract(path, '/(year=.*)/[^/]*$', 1) as period
    from lake.files
),

series as (
    select
        data_type,
        venue,
        instrument,
        timeframe,
        any_value(folder) as folder,
        case when any_value(period) like '%/month=00' then 9 else max(length(period)) end as width,
        string_agg(period, ' ' order by period) as periods,
        count(*) as files,
        bool_or(schema_version <> getvariable('lake_versions')[data_type]) as is_mixed
    from files
    group by data_type, venue, instrument, timeframe
)

select
    data_type,
    upper(venue) as venue,
    upper(instrument) as instrument,
    timeframe,
    concat(upper(instrument), '.', upper(venue), ' ', timeframe) as key,
    concat(chr(10), key, chr(9), folder, chr(9), width, chr(9), periods) as line,
    files,
    is_mixed
from series;

set variable lake_buckets = (select (count(*) // 16 + 1)::bigint from lake.held);
