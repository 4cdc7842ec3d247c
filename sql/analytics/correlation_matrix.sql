-- analytics: correlation_matrix
-- version: 1
-- dialect: duckdb
-- parameters: ids (a list or a pattern), timeframe; since, until
-- returns: the correlations of log returns as a matrix: one row and one column an instrument
-- example: select id, round("BTCUSDT.BINANCE", 6) as btc, round("ETHUSDT.BINANCE", 6) as eth from correlation_matrix(['BTCUSDT.BINANCE', 'ETHUSDT.BINANCE'], '1h')
-- gives: BTCUSDT.BINANCE | 1.0 | -1.0
-- gives: ETHUSDT.BINANCE | -1.0 | 1.0
-- worked: see correlation
create or replace macro correlation_matrix(ids, timeframe, since := null, until := null) as table
from query(
    lake_wide(
        'correlation',
        ids::varchar,
        lake_timeframe(timeframe),
        'id_a as id, id_b as of, correlation as value',
        'id',
        lake_moment(since),
        lake_moment(until)
    )
);
