-- view: ohlcv_all
-- version: 1
-- dialect: duckdb
-- reads: every candle file in the catalog
-- returns: candles of all instruments and timeframes, told apart by timeframe
-- why: for questions about what is held; there is no view ohlcv, so that nobody adds 1m to 1h
create or replace view ohlcv_all as
select
    rows.venue,
    rows.instrument,
    rows.timeframe,
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
    lake_files(getvariable('lake_ohlcv'), null::timestamp, null::timestamp),
    hive_partitioning = true,
    hive_types = {
        'venue': varchar,
        'instrument': varchar,
        'timeframe': varchar,
        'year': smallint,
        'month': tinyint
    },
    union_by_name = getvariable('lake_mixed')
) as rows;
