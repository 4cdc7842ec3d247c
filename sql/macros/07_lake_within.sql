-- macro: lake_within
-- version: 3
-- dialect: duckdb
-- parameters: line (varchar[]): path, width and periods of a series; first, last (varchar): the
--      first and the last moment wanted, as text
-- returns: the paths of its files that can hold rows of the range; where it has none, of the
--      newest one, whose rows lie outside
-- why: built from names, so that no folder is listed. DuckDB refuses to read no file at all, and
--      a file with its columns answers a range without rows
create or replace macro lake_within(line, first, last) as (
    list_transform(
        coalesce(
            nullif(
                list_filter(
                    string_split(line[3], ' '),
                    lambda period:
                        period >= first[:line[2]::integer] and period <= last[:line[2]::integer]
                ),
                []
            ),
            string_split(line[3], ' ')[-1:]
        ),
        lambda period:
            concat(
                getvariable('lake_root'),
                '/',
                regexp_replace(period, '(\d+)-?(\d*)-?(\d*)', line[1])
            )
    )
);
