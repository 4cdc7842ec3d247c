-- macro: lake_files
-- version: 1
-- dialect: duckdb
-- parameters: held: a list of series as lake_ohlcv has them; first, last (timestamp or null)
-- returns: the paths of their files that can hold rows from first up to last, never an empty list
-- why: built from names, so that no folder is listed; DuckDB refuses to read no file at all, so
--      a file without rows stands in
create or replace macro lake_files(held, first, last) as (
    coalesce(
        nullif(
            flatten(
                list_transform(
                    held,
                    lambda s: list_transform(
                        list_filter(
                            string_split(s['months'], ' '),
                            lambda month:
                                (
                                    first is null
                                    or month >= strftime(first, '%Y%m')
                                    or (month[5:] = '00' and month[:4] >= strftime(first, '%Y'))
                                )
                                and (last is null or month <= strftime(last, '%Y%m'))
                        ),
                        lambda month:
                            getvariable('lake_root') || '/ohlcv/venue=' || url_encode(s['venue'])
                            || '/instrument=' || url_encode(s['instrument'])
                            || '/timeframe=' || s['timeframe']
                            || '/year=' || month[:4] || '/month=' || month[5:]
                            || '/data.parquet'
                    )
                )
            ),
            []
        ),
        [getvariable('lake_empty_ohlcv')]
    )
);
