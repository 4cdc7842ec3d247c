-- view: ohlcv_all
-- version: 2
-- dialect: duckdb
-- reads: every candle file in the catalog
-- returns: candles of all instruments and timeframes, told apart by timeframe
-- why: for questions about what is held; there is no view ohlcv, so that nobody adds 1m to 1h
create or replace view ohlcv_all as
from lake_ohlcv_all_like('*', '-infinity', 'infinity', '*');
