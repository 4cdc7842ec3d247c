-- analytics: depth
-- version: 1
-- dialect: duckdb
-- parameters: id, bps (basis points from the middle); since, until
-- returns: book by book: what stands within so many basis points of the middle on each side, in
--      base and in quote. A stored book ends at its deepest level: see is_whole
-- example: select ts, bid_quantity, ask_quantity, bid_quote, ask_quote, is_whole from depth('BTCUSDT.BINANCE', 150, until := '2024-01-01T00:01')
-- gives: 2024-01-01 00:00:30 | 1.0 | 2.0 | 99.0 | 202.0 | true
-- worked: 150 bps of 100 reach from 98.5 to 101.5: the bid of 1 at 99 and the ask of 2 at 101
create or replace macro depth(id, bps, since := null, until := null) as table (
    with books as (
        select
            *,
            (best_bid + best_ask) / 2 as mid
        from orderbook(id, since := since, until := until)
    ),

    near as (
        select
            *,
            list_filter(
                list_zip(bid_prices, bid_quantities),
                lambda level: level[1] >= mid * (1 - bps / 10000)
            ) as bids,
            list_filter(
                list_zip(ask_prices, ask_quantities),
                lambda level: level[1] <= mid * (1 + bps / 10000)
            ) as asks
        from books
    )

    select
        venue,
        instrument,
        ts,
        sequence,
        mid,
        coalesce(list_sum(list_transform(bids, lambda level: level[2])), 0) as bid_quantity,
        coalesce(list_sum(list_transform(asks, lambda level: level[2])), 0) as ask_quantity,
        coalesce(list_sum(list_transform(bids, lambda level: level[1] * level[2])), 0) as bid_quote,
        coalesce(list_sum(list_transform(asks, lambda level: level[1] * level[2])), 0) as ask_quote,
        len(bids) < len(bid_prices) and len(asks) < len(ask_prices) as is_whole
    from near
    order by venue, instrument, ts, sequence
);
