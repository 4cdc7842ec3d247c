-- check: book_crossed
-- version: 2
-- severity: error
-- reads: orderbook
-- reach: series
-- parameters: none
-- returns: one row a run of neighbouring books that cannot be: the best bid at or above the best ask,
--      prices of a side repeated or out of order, as many prices as quantities on neither side, a
--      best that is not the first of its list, and prices or quantities that are no finite numbers
--      above zero
-- blind to: levels that are possible and wrong, and books that lack some (see book_thin)
-- why: a crossed book is two books mixed, or one that missed a change: every spread and every depth
--      that is computed from it is wrong
with faults as (
    select
        file_number,
        place,
        ts,
        case
            when len(bid_prices) <> len(bid_quantities) or len(ask_prices) <> len(ask_quantities)
                then concat(
                    len(bid_prices), ' bid prices to ', len(bid_quantities), ' quantities, ',
                    len(ask_prices), ' ask prices to ', len(ask_quantities)
                )
            when best_bid is distinct from bid_prices[1]
                or best_ask is distinct from ask_prices[1]
                or best_bid_quantity is distinct from bid_quantities[1]
                or best_ask_quantity is distinct from ask_quantities[1]
                then concat(
                    'best ', best_bid, ' and ', best_ask, ', first ', bid_prices[1], ' and ',
                    ask_prices[1]
                )
            when list_aggregate(bid_quantities, 'min') <= 0
                or list_aggregate(ask_quantities, 'min') <= 0
                or not isfinite(list_aggregate(bid_quantities, 'max'))
                or not isfinite(list_aggregate(ask_quantities, 'max'))
                then 'a quantity is no finite number above zero'
            -- The ends are enough: what is out of order between them is told below, and DuckDB
            -- orders what is no number after all numbers.
            when bid_prices[-1] <= 0
                or ask_prices[1] <= 0
                or not isfinite(bid_prices[1])
                or not isfinite(ask_prices[-1])
                then 'a price is no finite number above zero'
            when best_bid >= best_ask then concat('bid ', best_bid, ' and ask ', best_ask)
            when len(
                list_filter(
                    range(2, len(bid_prices) + 1),
                    lambda level: bid_prices[level] >= bid_prices[level - 1]
                )
            ) > 0
                then 'bids do not fall from level to level'
            when len(
                list_filter(
                    range(2, len(ask_prices) + 1),
                    lambda level: ask_prices[level] <= ask_prices[level - 1]
                )
            ) > 0
                then 'asks do not rise from level to level'
        end as fault
    from checked_book_places
),

numbered as (
    select
        faults.*,
        place - row_number() over (
            partition by file_number
            order by place
        ) as run
    from faults
    where fault is not null
),

runs as (
    select
        file_number,
        run,
        min(ts) as start_ts,
        max(ts) as last_ts,
        count(*) as rows,
        arg_min(fault, place) as fault
    from numbered
    group by file_number, run
)

select
    'orderbook' as data_type,
    files.venue,
    files.instrument,
    null::varchar as timeframe,
    runs.start_ts,
    runs.last_ts + interval 1 microsecond as end_ts,
    runs.rows,
    concat(runs.fault, if(runs.rows > 1, concat(', and ', runs.rows - 1, ' more in a row'), ''))
        as detail
from runs
inner join checked_files as files
    on files.data_type = 'orderbook'
    and runs.file_number = files.file_number
order by files.venue, files.instrument, timeframe, runs.start_ts;
