-- analytics: resample
-- version: 1
-- dialect: duckdb
-- parameters: id, timeframe; base (the stored candles to build from, default 1m); since, until
-- returns: candles of any longer timeframe, on the venue's own grid (weeks from Monday, calendar
--      months), with how many stored candles each is made of and whether those are all of them
-- example: select ts, open, high, low, close, volume, candles, is_complete from resample('BTCUSDT.BINANCE', '5m', until := '2024-01-01T00:10')
-- gives: 2024-01-01 00:00:00 | 100.0 | 106.0 | 99.0 | 104.0 | 15.0 | 5 | true
-- gives: 2024-01-01 00:05:00 | 104.0 | 107.0 | 103.0 | 105.0 | 4.0 | 4 | false
-- worked: the candle of 00:07 is missing, so the second 5m candle is made of four
create or replace macro resample(id, timeframe, base := '1m', since := null, until := null) as table (
    with candles as (
        select
            *,
            lake_open(ts, lake_timeframe(timeframe), venue) as opened
        from ohlcv(
            id,
            base,
            since := since,
            until := lake_moment(until) + lake_length(lake_timeframe(timeframe))
        )
    ),

    longer as (
        select
            venue,
            instrument,
            opened as ts,
            arg_min(open, ts) as open,
            max(high) as high,
            min(low) as low,
            arg_max(close, ts) as close,
            sum(volume) as volume,
            if(count(quote_volume) = count(*), sum(quote_volume), null) as quote_volume,
            if(count(trade_count) = count(*), sum(trade_count), null)::bigint as trade_count,
            if(count(taker_buy_volume) = count(*), sum(taker_buy_volume), null)
                as taker_buy_volume,
            if(count(taker_buy_quote_volume) = count(*), sum(taker_buy_quote_volume), null)
                as taker_buy_quote_volume,
            opened + lake_length(lake_timeframe(timeframe)) as close_ts,
            count(*) as candles
        from candles
        where (since is null or opened >= lake_moment(since))
            and (until is null or opened < lake_moment(until))
        group by venue, instrument, opened
    )

    select
        longer.*,
        candles * epoch_us(ts + lake_length(lake_timeframe(base)) - ts) = epoch_us(close_ts - ts)
            as is_complete
    from longer
    order by venue, instrument, ts
);
