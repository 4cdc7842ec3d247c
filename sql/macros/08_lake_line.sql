-- macro: lake_line
-- version: 4
-- dialect: duckdb
-- parameters: kind (varchar): a data type; key (varchar): of a series, as lake_key gives it
-- returns: its path, width and periods as arguments in a query; null where it is not held
create or replace macro lake_line(kind, key) as
replace(
    string_split(string_split(lake_bucket(kind, key), concat(e'\n', key, e'\t'))[2], e'\n')[1],
    e'\t',
    ''', '''
);
