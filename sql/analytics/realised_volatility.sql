-- analytics: realised_volatility
-- version: 1
-- dialect: duckdb
-- needs: returns
-- parameters: id, timeframe; since, until
-- returns: one row an instrument: how many log returns, the root of the sum of their squares over
--      the range (realised), and the same per year of 365 days (annualised)
-- example: select instrument, observations, round(realised, 6) as realised, round(annualised, 4) as annualised from realised_volatility('BTCUSDT.BINANCE', '1h', until := '2024-01-01T06:00')
-- gives: BTCUSDT | 3 | 0.171082 | 9.2447
-- worked: sqrt(0.09531^2 + 0.105361^2 + 0.09531^2) = 0.171082; 0.171082 * sqrt(8760 / 3) = 9.2447
create or replace macro realised_volatility(id, timeframe, since := null, until := null) as table (
    select
        venue,
        instrument,
        count(log_return) as observations,
        sqrt(sum(log_return * log_return)) as realised,
        sqrt(avg(log_return * log_return) * lake_yearly(lake_timeframe(timeframe))) as annualised
    from returns(id, timeframe, since := since, until := until)
    group by venue, instrument
    order by venue, instrument
);
