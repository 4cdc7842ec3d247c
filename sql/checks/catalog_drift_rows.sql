-- check: catalog_drift_rows
-- version: 1
-- severity: error
-- reads: ohlcv, trades, orderbook, funding_rates
-- reach: series
-- parameters: none
-- returns: one row a file whose rows are others than the catalog says: how many, the first or the last
-- blind to: values (see `lake doctor --deep`, which compares digests), and a file that is gone, with
--      which this check cannot be run (see catalog_drift)
-- why: completeness and gaps are answered from the catalog; where it says more than the files hold,
--      rows were lost behind its back. Asked of a range, only files that lie in it whole are compared
with counted as (
    select
        'ohlcv' as data_type,
        file_number,
        count(*) as rows,
        min(ts) as min_ts,
        max(ts) as max_ts
    from checked_positions
    group by file_number

    union all

    select
        'trades' as data_type,
        file_number,
        count(*) as rows,
        min(ts) as min_ts,
        max(ts) as max_ts
    from checked_trade_places
    group by file_number

    union all

    select
        'orderbook' as data_type,
        file_number,
        count(*) as rows,
        min(ts) as min_ts,
        max(ts) as max_ts
    from checked_book_places
    group by file_number

    union all

    select
        'funding_rates' as data_type,
        file_number,
        count(*) as rows,
        min(ts) as min_ts,
        max(ts) as max_ts
    from checked_funding_places
    group by file_number
),

whole as (
    select *
    from checked_files
    where (getvariable('check_since') is null or min_ts >= getvariable('check_since')::timestamp)
        and (getvariable('check_until') is null or max_ts < getvariable('check_until')::timestamp)
)

select
    files.data_type,
    files.venue,
    files.instrument,
    files.timeframe,
    files.range_start as start_ts,
    files.range_end as end_ts,
    abs(files.rows - coalesce(counted.rows, 0)) as rows,
    concat(
        files.path, ' holds ', coalesce(counted.rows, 0), ' rows from ', counted.min_ts, ' to ',
        counted.max_ts, ', and the catalog says ', files.rows, ' from ', files.min_ts, ' to ',
        files.max_ts
    ) as detail
from whole as files
left join counted
    on files.data_type = counted.data_type
    and files.file_number = counted.file_number
where counted.rows is distinct from files.rows
    or counted.min_ts is distinct from files.min_ts
    or counted.max_ts is distinct from files.max_ts
order by files.venue, files.instrument, files.timeframe, start_ts, files.data_type;
