-- session: held
-- version: 1
-- dialect: duckdb
-- reads: catalog.series, catalog.partitions
-- sets: lake_ohlcv: one struct a series with the months (yyyymm, a year's file yyyy00) it has files for
-- why: table functions may not contain subqueries, but they may read a variable; months as
--      integers stay small for a hundred thousand files, where paths would not
set variable lake_ohlcv = (
    with files as (
        select
            series.venue,
            series.instrument,
            series.timeframe,
            partitions.schema_version,
            regexp_extract(partitions.path, 'year=(\d+)', 1)::integer * 100
            + regexp_extract(partitions.path, 'month=(\d+)', 1)::integer as month
        from catalog.partitions as partitions
        inner join catalog.series as series on partitions.series_id = series.series_id
        where series.data_type = 'ohlcv'
    ),

    held as (
        select
            venue,
            instrument,
            timeframe,
            list(month order by month) as months,
            count(distinct schema_version) as versions
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
