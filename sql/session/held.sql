-- session: held
-- version: 4
-- dialect: duckdb
-- reads: lake.files, and the variable lake_versions: the schemas that this program writes
-- makes: lake.held: one row a series, with the line that the macros read of it: KEY, the path of a
--      file with \1, \2, \3 for year, month and day, how much of a moment tells its period (4, 7 or
--      10 characters), the periods (2024, 2024-01 or 2024-01-05)
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
        regexp_replace(
            regexp_replace(
                regexp_replace(path, '/year=\d+/', '/year=\\1/'),
                '/month=(0[1-9]|1\d)/',
                '/month=\\2/'
            ),
            '/day=\d+/',
            '/day=\\3/'
        ) as path,
        concat_ws(
            '-',
            nullif(regexp_extract(path, '/year=(\d+)/', 1), ''),
            nullif(regexp_extract(path, '/month=(0[1-9]|1\d)/', 1), ''),
            nullif(regexp_extract(path, '/day=(\d+)/', 1), '')
        ) as period
    from lake.files
),

series as (
    select
        data_type,
        venue,
        instrument,
        timeframe,
        any_value(path) as path,
        max(length(period)) as width,
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
    concat(chr(10), key, chr(9), path, chr(9), width, chr(9), periods) as line,
    files,
    is_mixed
from series;

set variable lake_buckets = (select (count(*) // 16 + 1)::bigint from lake.held);
