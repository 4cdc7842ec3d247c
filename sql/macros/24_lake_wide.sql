-- macro: lake_wide
-- version: 1
-- dialect: duckdb
-- parameters: source (varchar): a table macro of candles; ids (varchar), timeframe (varchar); since,
--      until (timestamp or null); columns (varchar): a key, the instrument as "of", and the value;
--      key (varchar): the name of the key
-- returns: a query that gives one row a key and one column an instrument that is held
-- why: the columns of a pivot must be known when a query is bound; here the catalog knows them
create or replace macro lake_wide(source, ids, timeframe, columns, key, since, until) as
concat(
    'from (pivot (select ',
    columns,
    ' from ',
    source,
    '(''',
    replace(ids, '''', ''''''),
    ''', ''',
    replace(timeframe, '''', ''''''),
    ''', since := ',
    coalesce('timestamp ''' || since || '''', 'null'),
    ', until := ',
    coalesce('timestamp ''' || until || '''', 'null'),
    ')) on "of" in (''',
    array_to_string(
        list_transform(
            list_filter(
                string_split(getvariable('lake_ohlcv'), chr(10))[2:],
                lambda line: regexp_matches(line, lake_matching(lake_patterns(upper(ids)), timeframe))
            ),
            lambda line: replace(string_split(line, ' ')[1], '''', '''''')
        ),
        ''', '''
    ),
    ''') using any_value(value) group by ',
    key,
    ') order by ',
    key
);
