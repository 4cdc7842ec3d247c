-- macro: lake_open
-- version: 2
-- dialect: duckdb
-- parameters: moment (timestamp); timeframe (varchar): as paths spell it; venue (varchar)
-- returns: when the candle that contains the moment opens
-- why: arithmetic on integers is twice as fast as time_bucket, and knows the venue's grid
create or replace macro lake_open(moment, timeframe, venue) as
coalesce(
    make_timestamp(
        epoch_us(moment) - (epoch_us(moment) - lake_anchor(timeframe, venue)) % lake_step(timeframe)
    ),
    date_trunc('month', moment)
);
