-- macro: ohlcv
-- version: 1
-- dialect: duckdb
-- parameters: ('BTCUSDT.BINANCE', '1h') or ('BINANCE', 'BTCUSDT', '1h'); since, until (half-open)
-- returns: candles of one or several instruments of one timeframe; '*', patterns and lists work
-- why: opens only the files that can hold what is asked, however many there are
create or replace macro ohlcv(id_or_venue, timeframe_or_id, timeframe := null, since := null, until := null)
as table (
    select
        rows.venue,
        rows.instrument,
        rows.ts,
        rows.open,
        rows.high,
        rows.low,
        rows.close,
        rows.volume,
        rows.quote_volume,
        rows.trade_count,
        rows.taker_buy_volume,
        rows.taker_buy_quote_volume,
        rows.ts + lake_length(rows.timeframe) as close_ts
    from read_parquet(
        lake_files(
            lake_series(
                lake_patterns(
                    case when timeframe is null then id_or_venue::varchar else timeframe_or_id::varchar end,
                    case when timeframe is null then null else id_or_venue::varchar end
                ),
                lake_timeframe(coalesce(timeframe, timeframe_or_id::varchar))
            ),
            lake_moment(since),
            lake_moment(until)
        ),
        hive_partitioning = true,
        hive_types = {
            'venue': varchar,
            'instrument': varchar,
            'timeframe': varchar,
            'year': smallint,
            'month': tinyint
        },
        union_by_name = getvariable('lake_mixed')
    ) as rows
    where (since is null or rows.ts >= lake_moment(since))
        and (until is null or rows.ts < lake_moment(until))
);
