-- macro: lake_length
-- version: 1
-- dialect: duckdb
-- parameters: timeframe (varchar): as paths spell it
-- returns: how long its candles are (interval); a candle is known when ts + this has passed
create or replace macro lake_length(timeframe) as (
    case
        when timeframe = '1mo' then interval 1 month
        when timeframe like '%s' then to_seconds(timeframe[:-2]::integer)
        when timeframe like '%m' then to_minutes(timeframe[:-2]::integer)
        when timeframe like '%h' then to_hours(timeframe[:-2]::integer)
        when timeframe like '%d' then to_days(timeframe[:-2]::integer)
        when timeframe like '%w' then to_days(7 * timeframe[:-2]::integer)
    end
);
