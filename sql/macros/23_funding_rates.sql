-- macro: funding_rates
-- version: 1
-- dialect: duckdb
-- parameters: ('BTCUSDT.BINANCE') or ('BINANCE', 'BTCUSDT'); since, until (half-open)
-- returns: funding rates of one or several instruments; '*', patterns and lists work
-- why: opens only the files that can hold what is asked, however many there are
create or replace macro funding_rates(id_or_venue, instrument := null, since := null, until := null) as table
from query(
    lake_asked(
        'funding_rates',
        if(instrument is null, id_or_venue::varchar, instrument::varchar),
        if(instrument is null, null, id_or_venue::varchar),
        '',
        lake_moment(since),
        lake_moment(until)
    )
);
