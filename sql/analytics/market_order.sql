-- analytics: market_order
-- version: 1
-- dialect: duckdb
-- parameters: id, side (buy or sell), quantity (of the base asset); since, until
-- returns: book by book, what a market order of that size would have met: the quantity that the
--      stored levels fill, the average price, and what it costs against the middle, in quote and in
--      basis points; is_filled is false where the stored book is too shallow. Without fees
-- example: select ts, filled, average_price, cost, round(cost_bps, 6) as cost_bps, is_filled from market_order('BTCUSDT.BINANCE', 'buy', 4, until := '2024-01-01T00:01')
-- gives: 2024-01-01 00:00:30 | 4.0 | 101.5 | 6.0 | 150.0 | true
-- worked: 2 at 101 and 2 of the 10 at 102 are 406, 101.5 each: 1.5 above the middle of 100, 4 times
create or replace macro market_order(id, side, quantity, since := null, until := null) as table (
    with books as (
        select
            *,
            row_number() over () as book,
            (best_bid + best_ask) / 2 as mid
        from orderbook(id, since := since, until := until)
    ),

    levels as (
        select
            book,
            unnest(if(lower(side) = 'buy', ask_prices, bid_prices)) as price,
            unnest(if(lower(side) = 'buy', ask_quantities, bid_quantities)) as size,
            generate_subscripts(if(lower(side) = 'buy', ask_prices, bid_prices), 1) as place
        from books
        where if(lower(side) in ('buy', 'sell'), true, error('lake: a side is buy or sell.'))
    ),

    taken as (
        select
            book,
            price,
            greatest(
                0,
                least(
                    size,
                    quantity - coalesce(
                        sum(size) over (
                            partition by book
                            order by place
                            rows between unbounded preceding and 1 preceding
                        ),
                        0
                    )
                )
            ) as filled
        from levels
    ),

    orders as (
        select
            book,
            sum(filled) as filled,
            sum(filled * price) / nullif(sum(filled), 0) as average_price
        from taken
        group by book
    )

    select
        books.venue,
        books.instrument,
        books.ts,
        books.sequence,
        books.mid,
        coalesce(orders.filled, 0) as filled,
        orders.average_price,
        abs(orders.average_price - books.mid) * orders.filled as cost,
        abs(orders.average_price / books.mid - 1) * 10000 as cost_bps,
        coalesce(orders.filled, 0) >= quantity as is_filled
    from books
    left join orders on orders.book = books.book
    order by books.venue, books.instrument, books.ts, books.sequence
);
