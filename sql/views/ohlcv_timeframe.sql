-- view: ohlcv_{timeframe}
-- version: 2
-- dialect: duckdb
-- reads: every {timeframe} candle file in the catalog
-- returns: candles of all instruments; one view for each timeframe that is held
-- why: time linear in files; for a few instruments or a short range ohlcv(...) opens fewer
create or replace view ohlcv_{timeframe} as
from lake_ohlcv_like('*', '-infinity', 'infinity', '{timeframe}');
