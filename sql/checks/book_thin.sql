-- check: book_thin
-- version: 1
-- severity: warning
-- reads: orderbook
-- reach: series
-- parameters: share = 0.5: fewer levels than this share of the usual number are few
-- returns: one row a run of neighbouring books of which a side is empty or has far fewer levels than
--      the books of its series mostly have
-- blind to: series whose books are thin most of the time
-- why: the depth of such a book is not what the market offered but what was left of an answer
with sizes as not materialized (
    select
        file_number,
        place,
        ts,
        len(bid_prices) as bids,
        len(ask_prices) as asks
    from checked_book_places
),

files as (
    select
        file_number,
        series_id,
        venue,
        instrument
    from checked_files
    where data_type = 'orderbook'
),

counted as (
    select
        file_number,
        least(bids, asks) as levels,
        count(*) as books
    from sizes
    group by file_number, levels
),

shared as (
    select
        files.series_id,
        counted.levels,
        sum(counted.books) as books
    from counted
    inner join files on counted.file_number = files.file_number
    group by files.series_id, counted.levels
),

usual as (
    select
        series_id,
        arg_max(levels, (books, levels)) as levels
    from shared
    group by series_id
),

thin as (
    select
        files.venue,
        files.instrument,
        usual.levels as usual_levels,
        sizes.file_number,
        sizes.place,
        sizes.ts,
        sizes.bids,
        sizes.asks,
        sizes.place - row_number() over (
            partition by sizes.file_number
            order by sizes.place
        ) as run
    from sizes
    inner join files on sizes.file_number = files.file_number
    inner join usual on files.series_id = usual.series_id
    where least(sizes.bids, sizes.asks) = 0
        or least(sizes.bids, sizes.asks)
            < usual.levels * coalesce(getvariable('share')::double, 0.5)
),

runs as (
    select
        venue,
        instrument,
        file_number,
        run,
        min(ts) as start_ts,
        max(ts) as last_ts,
        count(*) as rows,
        min(bids) as bids,
        min(asks) as asks,
        any_value(usual_levels) as usual_levels
    from thin
    group by venue, instrument, file_number, run
)

select
    'orderbook' as data_type,
    venue,
    instrument,
    null::varchar as timeframe,
    start_ts,
    last_ts + interval 1 microsecond as end_ts,
    rows,
    concat(
        if(rows = 1, 'a book', concat(rows, ' books')), ' of ', bids, ' bids and ', asks,
        ' asks, where ', usual_levels, ' levels are usual'
    ) as detail
from runs
order by venue, instrument, timeframe, start_ts;
