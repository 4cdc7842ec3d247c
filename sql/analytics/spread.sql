-- analytics: spread
-- version: 1
-- dialect: duckdb
-- parameters: id; since, until
-- returns: book by book: best bid and ask, the middle between them, and the distance, in quote and
--      in basis points of the middle; null where a side is empty
-- example: select ts, best_bid, best_ask, mid, spread, spread_bps from spread('BTCUSDT.BINANCE')
-- gives: 2024-01-01 00:00:30 | 99.0 | 101.0 | 100.0 | 2.0 | 200.0
-- gives: 2024-01-01 00:01:30 | 119.0 | 121.0 | 120.0 | 2.0 | 166.66666666666666
-- worked: 101 - 99 = 2, which is 2 % of 100
create or replace macro spread(id, since := null, until := null) as table (
    select
        venue,
        instrument,
        ts,
        sequence,
        best_bid,
        best_ask,
        (best_bid + best_ask) / 2 as mid,
        best_ask - best_bid as spread,
        (best_ask - best_bid) / ((best_bid + best_ask) / 2) * 10000 as spread_bps
    from orderbook(id, since := since, until := until)
    order by venue, instrument, ts, sequence
);
