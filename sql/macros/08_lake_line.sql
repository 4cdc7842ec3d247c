-- macro: lake_line
-- version: 3
-- dialect: duckdb
-- parameters: kind (varchar): a data type; key (varchar): of a series that is held, as lake_key
--      gives it
-- returns: its path, width and periods as they stand in a list of texts
create or replace macro lake_line(kind, key) as
replace(
    string_split(string_split(lake_bucket(kind, key), concat(chr(10), key, chr(9)))[2], chr(10))[1],
    chr(9),
    ''', '''
);
