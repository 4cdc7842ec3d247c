-- macro: lake_source
-- version: 3
-- dialect: duckdb
-- parameters: shape (varchar): which columns, ohlcv or ohlcv_all, else as kind; kind (varchar): a
--      data type; names, venue, timeframe (varchar): which series, constants; range (varchar):
--      the rest of a call: since, until and the length of a candle
-- returns: a query of their rows: by the exact name, by patterns, or of no rows where everything is
--      asked of a lake that holds nothing
-- why: the way by patterns costs milliseconds only to be understood, and the common question is
--      for one series
create or replace macro lake_source(shape, kind, names, venue, timeframe, first, last, range) as
case
    when contains(
        lake_bucket(kind, lake_key(names, venue, timeframe)),
        concat(chr(10), lake_key(names, venue, timeframe), chr(9))
    )
        then concat(
            'from lake_', shape, lake_suffix(kind), '(lake_within([''',
            array_to_string(lake_line(kind, lake_key(names, venue, timeframe)), ''', '''),
            '''], ''', first, ''', ''', last, '''), ', range
        )
    when names in ('*', '[*]') and lake_is_empty(kind, timeframe)
        then concat('from lake_', shape, '_none')
    else concat(
        'from lake_', shape, lake_suffix(kind), '(lake_files_like(''', kind, ''', lake_patterns(''',
        replace(names, '''', ''''''), ''', ''', replace(venue, '''', ''''''), '''), ''',
        replace(timeframe, '''', ''''''), ''', ''', first, ''', ''', last, '''), ', range
    )
end;
