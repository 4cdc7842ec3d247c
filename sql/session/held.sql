-- session: held
-- version: 2
-- dialect: duckdb
-- reads: lake.candle_files, and the variable lake_schema_version: what this program writes
-- sets: lake_holdings: the count of files, the timeframes, whether some file has other columns than
--      this program knows, and one struct a series with the months that it has files for
--      ('202401 202402'; a year's file is '202400')
-- why: table functions may not contain subqueries, but they may read a variable. It is copied
--      into every query, so it is a few texts a series and not a value for each file. All comes
--      from one look into the catalog
set variable lake_holdings = (
    with files as (
        select
            venue,
            instrument,
            timeframe,
            schema_version,
            regexp_extract(path, 'year=(\d+)', 1)
            || regexp_extract(path, 'month=(\d+)', 1) as month
        from lake.candle_files
    ),

    held as (
        select
            venue,
            instrument,
            timeframe,
            string_agg(month, ' ' order by month) as months,
            count(*) as files,
            bool_or(schema_version <> getvariable('lake_schema_version')) as is_mixed
        from files
        group by venue, instrument, timeframe
    )

    select
        {
            'files': coalesce(sum(files), 0)::bigint,
            'timeframes': coalesce(list(distinct timeframe), []),
            'is_mixed': coalesce(bool_or(is_mixed), false),
            'series': coalesce(
                list(
                    {
                        'venue': venue,
                        'instrument': instrument,
                        'timeframe': timeframe,
                        'id': instrument || '.' || venue,
                        'months': months
                    }
                    order by venue, instrument, timeframe
                ),
                []
            )
        }
    from held
);
