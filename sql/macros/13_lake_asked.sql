-- macro: lake_asked
-- version: 1
-- dialect: duckdb
-- parameters: shape (varchar): which columns, ohlcv or ohlcv_all, else the data type; names
--      (varchar), venue (varchar or null), timeframe (varchar): which series; since, until
--      (timestamp or null)
-- returns: a call of lake_SHAPE_named with these as plain values
-- why: what a macro is given is written out and computed at every use. Here everything is used
--      once; what follows works with constants. Values are quoted, so no name is taken for SQL
create or replace macro lake_asked(shape, names, venue, timeframe, since, until) as
concat(
    'from lake_',
    shape,
    '_named(''',
    replace(names, '''', ''''''),
    ''', ''',
    replace(coalesce(venue, ''), '''', ''''''),
    ''', ''',
    replace(timeframe, '''', ''''''),
    ''', ',
    coalesce('timestamp ''' || since || '''', 'null::timestamp'),
    ', ',
    coalesce('timestamp ''' || until || '''', 'null::timestamp'),
    ')'
);
