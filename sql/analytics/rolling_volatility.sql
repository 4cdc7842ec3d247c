-- analytics: rolling_volatility
-- version: 1
-- dialect: duckdb
-- needs: returns
-- parameters: id, timeframe, candles (how many returns the window has); since, until
-- returns: at each close_ts the sample deviation of the last log returns, and the same per year of
--      365 days; null until the window is full, and while a hole lies in it
-- example: select close_ts, round(volatility, 6) as volatility, round(annualised, 4) as annualised from rolling_volatility('BTCUSDT.BINANCE', '1h', 2, until := '2024-01-01T04:00')
-- gives: 2024-01-01 01:00:00 | null | null
-- gives: 2024-01-01 02:00:00 | null | null
-- gives: 2024-01-01 03:00:00 | 0.141896 | 13.2807
-- worked: (0.09531 + 0.105361) / sqrt(2) = 0.141896; 0.141896 * sqrt(8760) = 13.2807
create or replace macro rolling_volatility(id, timeframe, candles, since := null, until := null)
as table (
    with windows as (
        select
            venue,
            instrument,
            ts,
            close_ts,
            count(log_return) over recent as observations,
            stddev_samp(log_return) over recent as deviation
        from returns(id, timeframe, since := since, until := until)
        window recent as (
            partition by venue, instrument
            order by ts
            rows between (candles - 1) preceding and current row
        )
    )

    select
        venue,
        instrument,
        ts,
        close_ts,
        if(observations = candles, deviation, null) as volatility,
        if(observations = candles, deviation * sqrt(lake_yearly(lake_timeframe(timeframe))), null)
            as annualised
    from windows
    order by venue, instrument, ts
);
