-- macro: ohlcv
-- version: 2
-- dialect: duckdb
-- parameters: ('BTCUSDT.BINANCE', '1h') or ('BINANCE', 'BTCUSDT', '1h'); since, until (half-open)
-- returns: candles of one or several instruments of one timeframe; '*', patterns and lists work
-- why: opens only the files that can hold what is asked, however many there are
create or replace macro ohlcv(
    id_or_venue,
    timeframe_or_id,
    timeframe := null,
    since := null,
    until := null
) as table
from query(
    lake_asked(
        'ohlcv',
        if(timeframe is null, id_or_venue::varchar, timeframe_or_id::varchar),
        if(timeframe is null, null, id_or_venue::varchar),
        lake_timeframe(coalesce(timeframe, timeframe_or_id::varchar)),
        lake_moment(since),
        lake_moment(until)
    )
);
