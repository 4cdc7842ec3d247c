-- view: funding_rates_all
-- version: 1
-- dialect: duckdb
-- reads: every file of funding_rates in the catalog
-- returns: the rows of all instruments
-- why: time linear in files; for a few instruments or a short range funding_rates(...) opens fewer
create or replace view funding_rates_all as
from lake_funding_rates_like('*', '-infinity', 'infinity', '');
