-- view: orderbook_all
-- version: 1
-- dialect: duckdb
-- reads: every file of orderbook in the catalog
-- returns: the rows of all instruments
-- why: time linear in files; for a few instruments or a short range orderbook(...) opens fewer
create or replace view orderbook_all as
from lake_orderbook_like('*', '-infinity', 'infinity', '');
