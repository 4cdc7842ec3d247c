-- session: rows
-- version: 1
-- dialect: duckdb
-- makes: lake_{shape}_named: rows of the series of given names; lake_{shape}_rows and lake_{shape}_mixed: rows of given files and range, the second also
--      where files are of an older schema and lack columns; lake_{shape}_none: no rows
-- why: the columns come from the program's one list of them. They are qualified, because a
--      parameter shadows a column of its name
create or replace view lake_{shape}_none as
select
    {typed}
where false;

create or replace macro lake_{shape}_rows(paths, since, until, span) as table (
    select
        {columns}
    from read_parquet(paths, hive_partitioning = true, hive_types = {hive}) as rows
    where (since is null or rows.ts >= since)
        and (until is null or rows.ts < until)
);

create or replace macro lake_{shape}_mixed(paths, since, until, span) as table (
    select
        {columns}
    from (
        from lake_{shape}_none
        union all by name
        from read_parquet(
            paths,
            hive_partitioning = true,
            hive_types = {hive},
            union_by_name = true
        )
    ) as rows
    where (since is null or rows.ts >= since)
        and (until is null or rows.ts < until)
);

create or replace macro lake_{shape}_named(names, venue, timeframe, since, until) as table
from query(
    lake_source(
        '{shape}',
        '{kind}',
        names,
        venue,
        timeframe,
        lake_day(since, ''),
        lake_day(until - interval 1 microsecond, '~'),
        concat(
            coalesce('timestamp ''' || since || '''', 'null::timestamp'),
            ', ',
            coalesce('timestamp ''' || until || '''', 'null::timestamp'),
            ', ',
            lake_span(timeframe),
            ')'
        )
    )
);
