-- macro: lake_asked
-- version: 3
-- dialect: duckdb
-- parameters: shape (varchar): which columns, ohlcv or ohlcv_all, else the data type; names
--      (varchar), venue (varchar or null), timeframe (varchar): which series; since, until
--      (timestamp or null)
-- returns: a call of lake_SHAPE_named with the key and the first and the last moment of the range as
--      plain values
-- why: what a macro is given is written out and computed at every use. Here it is computed; what
--      follows works with constants. The key is quoted, so no name is taken for SQL
create or replace macro lake_asked(shape, names, venue, timeframe, since, until) as
concat(
    'from lake_',
    shape,
    '_named(''',
    replace(lake_key(names, venue, timeframe), '''', ''''''),
    ''', ''',
    coalesce(since::varchar, '-infinity'),
    ''', ''',
    coalesce((until - interval 1 microsecond)::varchar, 'infinity'),
    ''')'
);
