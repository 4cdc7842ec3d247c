-- check: mixed_variant
-- version: 1
-- severity: error
-- reads: trades, orderbook
-- reach: series
-- repair: refetch
-- parameters: none
-- returns: one row a file with rows that are not what its series holds: aggregates in a series of
--      single trades, ids of another scheme than the series' (a trade_id among derived names, derived
--      names among the venue's), books deeper than the series'; and, a warning, aggregates that lack
--      their fills beside others that have them
-- blind to: single trades in a series of aggregates that never say their fills
-- why: aggregates and single trades are the same trades told twice, so a sum over both is double; ids of
--      two schemes never match, so nothing is recognised as told before
with trades as (
    select
        file_number,
        count(*) as rows,
        min(ts) as start_ts,
        max(ts) as last_ts,
        count(*) filter (last_trade_id > first_trade_id or first_trade_id <> trade_id) as several,
        count(first_trade_id) as with_fills,
        count(trade_id) as numbered,
        count(*) filter (
            trade_id is null
            and regexp_full_match(trade_ref, '[0-9a-f]{16}-\d+')
        ) as derived
    from checked_trade_places
    group by file_number
),

books as (
    select
        file_number,
        min(ts) as start_ts,
        max(ts) as last_ts,
        greatest(len(bid_prices), len(ask_prices)) as levels,
        count(*) as rows
    from checked_book_places
    group by file_number, levels
),

trade_files as (
    select
        files.data_type,
        files.venue,
        files.instrument,
        files.variant,
        split_part(files.variant, '/', 1) as kind,
        split_part(files.variant, '/', 2) as ids,
        trades.*
    from trades
    inner join checked_files as files
        on files.data_type = 'trades'
        and trades.file_number = files.file_number
),

violations as (
    select
        data_type,
        venue,
        instrument,
        start_ts,
        last_ts,
        several as rows,
        concat(several, ' aggregates are in a series of single trades') as detail,
        'error' as severity
    from trade_files
    where kind = 'single'
        and several > 0

    union all

    select
        data_type,
        venue,
        instrument,
        start_ts,
        last_ts,
        rows - with_fills as rows,
        concat(
            rows - with_fills, ' aggregates of ', rows, ' do not say their fills: they may be ',
            'single trades'
        ) as detail,
        'warning' as severity
    from trade_files
    where kind = 'aggregate'
        and with_fills between 1 and rows - 1

    union all

    select
        data_type,
        venue,
        instrument,
        start_ts,
        last_ts,
        if(ids = 'derived', numbered, derived) as rows,
        concat(
            if(ids = 'derived', numbered, derived), ' trades have ',
            if(ids = 'derived', 'numbers of the venue', 'derived names'), ' in a series of ', variant
        ) as detail,
        'error' as severity
    from trade_files
    where (ids = 'derived' and numbered > 0)
        or (ids = 'venue' and derived > 0)

    union all

    select
        any_value(files.data_type) as data_type,
        any_value(files.venue) as venue,
        any_value(files.instrument) as instrument,
        min(books.start_ts) as start_ts,
        max(books.last_ts) as last_ts,
        sum(books.rows)::bigint as rows,
        concat(
            sum(books.rows), ' books have up to ', max(books.levels),
            ' levels a side in a series of ', any_value(files.variant)
        ) as detail,
        'error' as severity
    from books
    inner join checked_files as files
        on files.data_type = 'orderbook'
        and books.file_number = files.file_number
    where books.levels > try_cast(split_part(files.variant, '/', 2) as bigint)
    group by books.file_number
)

select
    data_type,
    venue,
    instrument,
    null::varchar as timeframe,
    start_ts,
    last_ts + interval 1 microsecond as end_ts,
    rows,
    detail,
    severity
from violations
order by venue, instrument, timeframe, start_ts, detail;
