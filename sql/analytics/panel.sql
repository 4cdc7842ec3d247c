-- analytics: panel
-- version: 1
-- dialect: duckdb
-- parameters: ids (a list or a pattern), timeframe, field (a column of candles, default close);
--      since, until
-- returns: one row a ts, one column an instrument (upper case), null where it has no candle
-- example: from panel(['BTCUSDT.BINANCE', 'ETHUSDT.BINANCE'], '1h', 'close', since := '2024-01-01T01:00', until := '2024-01-01T04:00')
-- gives: 2024-01-01 01:00:00 | 110.0 | 10.0
-- gives: 2024-01-01 02:00:00 | 99.0 | 11.11111111111111
-- gives: 2024-01-01 03:00:00 | null | 10.0
-- worked: the closes as stored; of BTCUSDT no candle is held at 03:00
create or replace macro panel(ids, timeframe, field := 'close', since := null, until := null)
as table
from query(
    lake_wide(
        'ohlcv',
        ids::varchar,
        lake_timeframe(timeframe),
        concat(
            'ts, upper(instrument || ''.'' || venue) as of, "',
            replace(field, '"', '""'),
            '" as value'
        ),
        'ts',
        lake_moment(since),
        lake_moment(until)
    )
);
