-- session: rows
-- version: 3
-- dialect: duckdb
-- makes: lake_{shape}_named: rows of one series by its key, or of those of given names;
--      lake_{shape}_like: by names alone; lake_{shape}_rows: rows of given files and range;
--      lake_{shape}_mixed: also where files are of an older schema and lack columns;
--      lake_{shape}_none: no rows
-- why: the columns come from the program's one list of them. They are qualified, because a
--      parameter shadows a column of its name. The common question is for one series, and the way by
--      patterns costs milliseconds only to be understood, so it is a macro of its own
create or replace view lake_{shape}_none as
select
    {typed}
where false;

create or replace macro lake_{shape}_rows(paths, first, last, name) as table (
    select
        {columns}
    from read_parquet(paths, hive_partitioning = true, hive_types = {hive}) as rows
    where rows.ts >= first::timestamp
        and rows.ts <= last::timestamp
);

create or replace macro lake_{shape}_mixed(paths, first, last, name) as table (
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
    where rows.ts >= first::timestamp
        and rows.ts <= last::timestamp
);

create or replace macro lake_{shape}_like(names, first, last, name) as table
from query(
    case
        when names in ('*', '[*]')
            and not contains(
                getvariable('lake_{kind}'),
                if(name = '*', chr(9), concat(' ', name, chr(9)))
            )
            then 'from lake_{shape}_none'
        else concat(
            'from lake_{shape}_',
            if(getvariable('lake_mixed_{kind}'), 'mixed', 'rows'),
            '(lake_files_like(''{kind}'', lake_patterns(''',
            replace(names, '''', ''''''),
            '''), ''',
            replace(name, '''', ''''''),
            ''', ''',
            first,
            ''', ''',
            last,
            '''), ''',
            first,
            ''', ''',
            last,
            ''', ''',
            replace(name, '''', ''''''),
            ''')'
        )
    end
);

create or replace macro lake_{shape}_named(key, first, last) as table
from query(
    concat(
        'from lake_{shape}_',
        coalesce(
            if(getvariable('lake_mixed_{kind}'), 'mixed(lake_within(''', 'rows(lake_within(''')
            || lake_line('{kind}', key)
            || ''', '''
            || first
            || ''', '''
            || last
            || ''')',
            concat('like(''', replace(regexp_extract(key, '^(.*) ', 1), '''', ''''''), '''')
        ),
        ', ''',
        first,
        ''', ''',
        last,
        ''', ''',
        replace(regexp_extract(key, '[^ ]*$'), '''', ''''''),
        ''')'
    )
);
