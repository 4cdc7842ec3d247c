-- analytics: funding_paid
-- version: 1
-- dialect: duckdb
-- parameters: perp (id), since, until (the holding period); quantity (of the base asset, above 0
--      for a long, default 1)
-- returns: one row an instrument: how many settlements fell into the period, their summed rate,
--      what the position paid in quote (below 0: received; null where a mark price is missing),
--      and the summed rate per year
-- example: select settlements, round(rate, 6) as rate, round(paid, 6) as paid, round(annualised, 6) as annualised from funding_paid('BTCUSDT-PERP.BINANCEUSDM', '2024-01-01', '2024-01-02', quantity := 2)
-- gives: 3 | 0.0002 | 0.0428 | 0.073
-- worked: 2 * (0.0001 * 100 + 0.0002 * 110 - 0.0001 * 106) = 0.0428; 0.0002 in one of 365 days
create or replace macro funding_paid(perp, since, until, quantity := 1) as table (
    select
        venue,
        instrument,
        count(*) as settlements,
        sum(funding_rate) as rate,
        if(count(mark_price) = count(*), sum(funding_rate * mark_price) * quantity, null) as paid,
        sum(funding_rate) * 31536000 / epoch(lake_moment(until) - lake_moment(since)) as annualised
    from funding_rates(perp, since := since, until := until)
    group by venue, instrument
    order by venue, instrument
);
