-- macro: lake_within
-- version: 4
-- dialect: duckdb
-- parameters: path, width, periods (varchar): of a series; first, last (varchar): the first and the
--      last moment wanted, as text
-- returns: the paths of its files that can hold rows of the range; where it has none, of the
--      newest one, whose rows lie outside
-- why: built from names, so that no folder is listed. DuckDB refuses to read no file at all, and
--      a file with its columns answers a range without rows
create or replace macro lake_within(path, width, periods, first, last) as (
    list_transform(
        coalesce(
            nullif(
                list_filter(
                    string_split(periods, ' '),
                    lambda period:
                        period >= first[:width::integer] and period <= last[:width::integer]
                ),
                []
            ),
            string_split(periods, ' ')[-1:]
        ),
        lambda period:
            concat(
                getvariable('lake_root'),
                '/',
                regexp_replace(period, '(\d+)-?(\d*)-?(\d*)', path)
            )
    )
);
