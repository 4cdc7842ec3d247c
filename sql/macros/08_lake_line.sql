-- macro: lake_line
-- version: 1
-- dialect: duckdb
-- parameters: kind (varchar): a data type; key (varchar): as lake_key gives it
-- returns: of the held series of that key: folder, width and periods; null where none is held
create or replace macro lake_line(kind, key) as
string_split(
    regexp_extract(
        string_split(lake_bucket(kind, key), concat(chr(10), key, chr(9)))[2],
        '^[^\n]*'
    ),
    chr(9)
);
