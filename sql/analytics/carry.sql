-- analytics: carry
-- version: 1
-- dialect: duckdb
-- parameters: perp (id); since, until
-- returns: settlement by settlement: the rate (a fraction of the position's value; where it is above
--      0 longs pay shorts), the same per year, and what it came to since the first
-- example: select ts, funding_rate, round(annualised, 6) as annualised, round(cumulative_rate, 6) as cumulative_rate from carry('BTCUSDT-PERP.BINANCEUSDM')
-- gives: 2024-01-01 00:00:00 | 0.0001 | 0.1095 | 0.0001
-- gives: 2024-01-01 08:00:00 | 0.0002 | 0.219 | 0.0003
-- gives: 2024-01-01 16:00:00 | -0.0001 | -0.1095 | 0.0002
-- worked: three settlements a day, 1095 a year: 0.0001 * 1095 = 0.1095
create or replace macro carry(perp, since := null, until := null) as table (
    select
        venue,
        instrument,
        ts,
        funding_rate,
        interval_hours,
        funding_rate * 8760 / interval_hours as annualised,
        sum(funding_rate) over (partition by venue, instrument order by ts) as cumulative_rate
    from funding_rates(perp, since := since, until := until)
    order by venue, instrument, ts
);
