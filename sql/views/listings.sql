-- view: listings
-- version: 1
-- dialect: duckdb
-- reads: lake.listings (one state of the catalog)
-- returns: one row a span in which an instrument traded, as far as it is known; relisting is a
--      second row; half-open, UTC
create or replace view listings as
select
    listings.venue,
    listings.instrument,
    make_timestamp(listings.listed_from) as listed_from,
    make_timestamp(listings.listed_to) as listed_to,
    listings.evidence
from lake.listings as listings
order by listings.venue, listings.instrument, listings.listed_from;
