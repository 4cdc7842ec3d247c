-- analytics: correlation
-- version: 1
-- dialect: duckdb
-- needs: returns
-- parameters: ids (a list or a pattern), timeframe; since, until
-- returns: for each pair of instruments the correlation and the sample covariance of their log
--      returns, over the candles that both have; every pair in both orders and each with itself,
--      so that it pivots into a matrix (see correlation_matrix)
-- example: select id_a, id_b, observations, round(correlation, 6) as correlation, round(covariance, 6) as covariance from correlation(['BTCUSDT.BINANCE', 'ETHUSDT.BINANCE'], '1h') where id_a < id_b
-- gives: BTCUSDT.BINANCE | ETHUSDT.BINANCE | 3 | -1.0 | -0.013423
-- worked: ETH moves by 1/1.1, 1/0.9, 1/1.1: its log returns are BTC's with the other sign. Their
--      mean is 0.02842, so the covariance is -(2 * 0.06689^2 + 0.133781^2) / 2 = -0.013423
create or replace macro correlation(ids, timeframe, since := null, until := null) as table (
    with moves as (
        select
            instrument || '.' || venue as instrument_id,
            close_ts,
            log_return
        from returns(ids, timeframe, since := since, until := until)
        where log_return is not null
    )

    select
        a.instrument_id as id_a,
        b.instrument_id as id_b,
        count(*) as observations,
        corr(a.log_return, b.log_return) as correlation,
        covar_samp(a.log_return, b.log_return) as covariance
    from moves as a
    inner join moves as b on a.close_ts = b.close_ts
    group by a.instrument_id, b.instrument_id
    order by id_a, id_b
);
