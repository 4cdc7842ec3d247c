-- report: candles
-- version: 1
-- dialect: duckdb
-- reads: ohlcv
-- parameters: $instrument (SYMBOL.VENUE), $timeframe (varchar), $since, $until (timestamp)
-- returns: the candles around one gap, ascending; ts in seconds since 1970
select
    epoch(ts)::bigint as ts,
    open,
    high,
    low,
    close,
    volume
from ohlcv($instrument, $timeframe, since := $since, until := $until)
order by ts;
