-- analytics: ohlcv_filled
-- version: 1
-- dialect: duckdb
-- parameters: id, timeframe; since, until
-- returns: candles without holes from the first to the last that is held in the range. A missing
--      one stands at the close before it, is marked is_filled, and its volumes are null: whether
--      nobody traded or nobody asked, `lake gaps` tells. Filled candles are never stored
-- example: select ts, open, close, volume, is_filled from ohlcv_filled('BTCUSDT.BINANCE', '1m', since := '2024-01-01T00:06', until := '2024-01-01T00:09')
-- gives: 2024-01-01 00:06:00 | 103.0 | 106.0 | 1.0 | false
-- gives: 2024-01-01 00:07:00 | 106.0 | 106.0 | null | true
-- gives: 2024-01-01 00:08:00 | 106.0 | 104.0 | 1.0 | false
-- worked: nothing is held of 00:07; the candle before it closed at 106
create or replace macro ohlcv_filled(id, timeframe, since := null, until := null) as table (
    with candles as (
        from ohlcv(id, timeframe, since := since, until := until)
    ),

    slots as (
        select
            venue,
            instrument,
            unnest(
                generate_series(min(ts), max(ts), lake_length(lake_timeframe(timeframe)))
            ) as ts
        from candles
        group by venue, instrument
    ),

    filled as (
        select
            slots.venue,
            slots.instrument,
            slots.ts,
            candles.open,
            candles.high,
            candles.low,
            candles.close,
            candles.volume,
            candles.quote_volume,
            candles.trade_count,
            candles.taker_buy_volume,
            candles.taker_buy_quote_volume,
            candles.ts is null as is_filled,
            last_value(candles.close ignore nulls) over (
                partition by slots.venue, slots.instrument
                order by slots.ts
            ) as known
        from slots
        left join candles
            on candles.venue = slots.venue
            and candles.instrument = slots.instrument
            and candles.ts = slots.ts
    )

    select
        venue,
        instrument,
        ts,
        coalesce(open, known) as open,
        coalesce(high, known) as high,
        coalesce(low, known) as low,
        coalesce(close, known) as close,
        volume,
        quote_volume,
        trade_count,
        taker_buy_volume,
        taker_buy_quote_volume,
        ts + lake_length(lake_timeframe(timeframe)) as close_ts,
        is_filled
    from filled
    order by venue, instrument, ts
);
