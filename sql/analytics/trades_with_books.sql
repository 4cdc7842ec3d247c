-- analytics: trades_with_books
-- version: 1
-- dialect: duckdb
-- parameters: id; since, until
-- returns: each trade with the newest book of its instrument from before it or of its own moment,
--      the book's age, and how far the trade was from the middle
-- example: select ts, price, book_ts, mid, round(distance_bps, 6) as distance_bps from trades_with_books('BTCUSDT.BINANCE')
-- gives: 2024-01-01 00:00:10 | 100.0 | null | null | null
-- gives: 2024-01-01 00:00:20 | 110.0 | null | null | null
-- gives: 2024-01-01 00:00:30 | 105.0 | 2024-01-01 00:00:30 | 100.0 | 500.0
-- gives: 2024-01-01 00:01:20 | 120.0 | 2024-01-01 00:00:30 | 100.0 | 2000.0
-- worked: the first book is of 00:00:30; the next one, of 00:01:30, is younger than every trade
create or replace macro trades_with_books(id, since := null, until := null) as table (
    select
        trades.venue,
        trades.instrument,
        trades.ts,
        trades.trade_id,
        trades.trade_ref,
        trades.price,
        trades.quantity,
        trades.side,
        books.ts as book_ts,
        trades.ts - books.ts as book_age,
        books.best_bid,
        books.best_ask,
        (books.best_bid + books.best_ask) / 2 as mid,
        (trades.price / ((books.best_bid + books.best_ask) / 2) - 1) * 10000 as distance_bps
    from trades(id, since := since, until := until) as trades
    asof left join orderbook(
        id,
        since := lake_moment(since) - interval 1 day,
        until := until
    ) as books
        on books.venue = trades.venue
        and books.instrument = trades.instrument
        and books.ts <= trades.ts
    order by trades.venue, trades.instrument, trades.ts, trades.trade_id
);
