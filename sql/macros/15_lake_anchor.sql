-- macro: lake_anchor
-- version: 1
-- dialect: duckdb
-- parameters: timeframe (varchar): as paths spell it; venue (varchar)
-- returns: microseconds since 1970 at which some candle opens: weeks open on Mondays; of Binance's
--      3d candles one opens on 1970-01-02, of other venues' on 1970-01-01
create or replace macro lake_anchor(timeframe, venue) as
case
    when timeframe = '1w' then 345600000000
    when timeframe = '3d' and starts_with(venue, 'BINANCE') then 86400000000
    else 0
end;
