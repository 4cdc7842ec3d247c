-- view: instruments
-- version: 1
-- dialect: duckdb
-- reads: lake.instruments (one state of the catalog)
-- returns: one row an instrument that a venue lists, in its three spellings
create or replace view instruments as
select
    instruments.venue,
    instruments.code as instrument,
    instruments.symbol,
    instruments.native_id,
    instruments.kind,
    instruments.base,
    instruments.quote,
    instruments.settle,
    instruments.tick_size,
    instruments.lot_size,
    instruments.contract_size,
    instruments.active = 1 as active,
    make_timestamp(instruments.updated_at) as updated_at
from lake.instruments as instruments
order by instruments.venue, instruments.code;
