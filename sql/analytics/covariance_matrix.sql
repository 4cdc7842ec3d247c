-- analytics: covariance_matrix
-- version: 1
-- dialect: duckdb
-- parameters: ids (a list or a pattern), timeframe; since, until
-- returns: the sample covariances of log returns as a matrix: one row and one column an instrument
-- example: select id, round("BTCUSDT.BINANCE", 6) as btc, round("ETHUSDT.BINANCE", 6) as eth from covariance_matrix(['BTCUSDT.BINANCE', 'ETHUSDT.BINANCE'], '1h')
-- gives: BTCUSDT.BINANCE | 0.013423 | -0.013423
-- gives: ETHUSDT.BINANCE | -0.013423 | 0.011909
-- worked: see correlation; ETH has five returns of its own, among them those beside the hole in BTC
create or replace macro covariance_matrix(ids, timeframe, since := null, until := null) as table
from query(
    lake_wide(
        'correlation',
        ids::varchar,
        lake_timeframe(timeframe),
        'id_a as id, id_b as of, covariance as value',
        'id',
        lake_moment(since),
        lake_moment(until)
    )
);
