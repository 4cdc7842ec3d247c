-- session: held
-- version: 1
-- dialect: duckdb
-- reads: catalog.series, catalog.partitions
-- sets: lake_ohlcv: one struct a series, with the months that it has files for ('202401 202402';
--      a year's file is '202400')
-- why: table functions may not contain subqueries, but they may read a variable. It is copied
--      into every query, so it is a few texts a series and not a value for each file
set variable lake_ohlcv = (
    with files as (
        select
            series.venue,
            series.instrument,
            series.timeframe,
            regexp_extract(partitions.path, 'year=(\d+)', 1)
            || regexp_extract(partitions.path, 'month=(\d+)', 1) as month
        from catalog.partitions as partitions
        inner join catalog.series as series on partitions.series_id = series.series_id
        where series.data_type = 'ohlcv'
    ),

    held as (
        select
            venue,
            instrument,
            timeframe,
            string_agg(month, ' ' order by month) as months
        from files
        group by venue, instrument, timeframe
    )

    select
        coalesce(
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
    from held
);
