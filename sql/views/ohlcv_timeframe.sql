-- view: ohlcv_{timeframe}
-- version: 1
-- dialect: duckdb
-- reads: every {timeframe} candle file in the catalog
-- returns: candles of all instruments; one view for each timeframe that is held
-- why: time linear in files; for a few instruments or a short range ohlcv(...) opens fewer
create or replace view ohlcv_{timeframe} as
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
    rows.ts + lake_length('{timeframe}') as close_ts
from read_parquet(
    lake_files(lake_series(['*'], '{timeframe}'), null::timestamp, null::timestamp),
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
