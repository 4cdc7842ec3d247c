-- analytics: candles_from_trades
-- version: 1
-- dialect: duckdb
-- parameters: id, timeframe; since, until
-- returns: candles made of stored trades, on the venue's own grid; none where nobody traded
-- example: select ts, open, high, low, close, volume, quote_volume, trade_count, taker_buy_volume from candles_from_trades('BTCUSDT.BINANCE', '1m')
-- gives: 2024-01-01 00:00:00 | 100.0 | 110.0 | 100.0 | 105.0 | 4.0 | 420.0 | 4 | 3.0
-- gives: 2024-01-01 00:01:00 | 120.0 | 120.0 | 120.0 | 120.0 | 1.0 | 120.0 | 1 | 0.0
-- worked: 1 bought at 100, 1 sold at 110, 2 bought at 105 (an aggregate of two trades); 1 sold at 120
create or replace macro candles_from_trades(id, timeframe, since := null, until := null) as table (
    with trades as (
        select
            *,
            lake_open(ts, lake_timeframe(timeframe), venue) as opened
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
        first(price order by ts, trade_id, trade_ref) as open,
        max(price) as high,
        min(price) as low,
        last(price order by ts, trade_id, trade_ref) as close,
        sum(quantity) as volume,
        sum(price * quantity) as quote_volume,
        sum(coalesce(last_trade_id - first_trade_id + 1, 1))::bigint as trade_count,
        if(count(side) = count(*), coalesce(sum(quantity) filter (side = 'buy'), 0), null)
            as taker_buy_volume,
        if(count(side) = count(*), coalesce(sum(price * quantity) filter (side = 'buy'), 0), null)
            as taker_buy_quote_volume,
        opened + lake_length(lake_timeframe(timeframe)) as close_ts
    from trades
    where (since is null or opened >= lake_moment(since))
        and (until is null or opened < lake_moment(until))
    group by venue, instrument, opened
    order by venue, instrument, opened
);
