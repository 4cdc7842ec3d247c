-- analytics: flow
-- version: 1
-- dialect: duckdb
-- parameters: id, timeframe (default 1m); since, until
-- returns: who took: quantity bought and sold by takers, bought less sold (signed_quantity, and in
--      quote), and the quantity whose side the source does not say. Known at close_ts
-- example: select ts, buy_quantity, sell_quantity, signed_quantity, signed_quote from flow('BTCUSDT.BINANCE', '1m')
-- gives: 2024-01-01 00:00:00 | 3.0 | 1.0 | 2.0 | 200.0
-- gives: 2024-01-01 00:01:00 | 0.0 | 1.0 | -1.0 | -120.0
-- worked: bought 1 at 100 and 2 at 105, sold 1 at 110: 100 + 210 - 110 = 200
create or replace macro flow(id, timeframe := '1m', since := null, until := null) as table (
    with trades as (
        select
            *,
            lake_open(ts, lake_timeframe(timeframe), venue) as opened,
            case side when 'buy' then 1 when 'sell' then -1 end as sign
        from trades(
            id,
            since := since,
            until := lake_moment(until) + lake_length(lake_timeframe(timeframe))
        )
    )

    select
        venue,
        instrument,
        opened as ts,
        coalesce(sum(quantity) filter (sign = 1), 0) as buy_quantity,
        coalesce(sum(quantity) filter (sign = -1), 0) as sell_quantity,
        coalesce(sum(quantity * sign), 0) as signed_quantity,
        coalesce(sum(price * quantity * sign), 0) as signed_quote,
        coalesce(sum(quantity) filter (sign is null), 0) as unknown_quantity,
        opened + lake_length(lake_timeframe(timeframe)) as close_ts
    from trades
    where (since is null or opened >= lake_moment(since))
        and (until is null or opened < lake_moment(until))
    group by venue, instrument, opened
    order by venue, instrument, opened
);
