-- analytics: imbalance
-- version: 1
-- dialect: duckdb
-- parameters: id, levels (of each side, default 5); since, until
-- returns: book by book: bid less ask quantity of the best levels over their sum, from -1 (all ask)
--      to 1 (all bid)
-- example: select ts, bid_quantity, ask_quantity, imbalance from imbalance('BTCUSDT.BINANCE', levels := 2, until := '2024-01-01T00:01')
-- gives: 2024-01-01 00:00:30 | 4.0 | 12.0 | -0.5
-- worked: bids 1 + 3, asks 2 + 10: (4 - 12) / 16 = -0.5
create or replace macro imbalance(id, levels := 5, since := null, until := null) as table (
    with sides as (
        select
            venue,
            instrument,
            ts,
            sequence,
            coalesce(list_sum(bid_quantities[:levels]), 0) as bid_quantity,
            coalesce(list_sum(ask_quantities[:levels]), 0) as ask_quantity
        from orderbook(id, since := since, until := until)
    )

    select
        sides.*,
        (bid_quantity - ask_quantity) / nullif(bid_quantity + ask_quantity, 0) as imbalance
    from sides
    order by venue, instrument, ts, sequence
);
