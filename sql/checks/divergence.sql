-- check: divergence
-- version: 1
-- severity: warning
-- reads: ohlcv
-- reach: lake
-- parameters: apart = 0.05: by which fraction closes of one instrument at two venues may differ;
--      candles = 5: for how many candles in a row they must differ more
-- returns: one row a run of candles in which a venue's close is further than that from another's.
--      Of three venues or more the one that most others disagree with is named, of two the first
-- blind to: instruments held at one venue, or under different codes; a perpetual and its spot; what
--      all venues have in common
-- why: one venue alone may look sound while its price is in another unit, stale, or of another coin
with shared as (
    select
        instrument,
        timeframe
    from checked_series
    where data_type = 'ohlcv'
    group by instrument, timeframe
    having count(distinct venue) > 1
),

closes as (
    select
        candles.instrument,
        candles.timeframe,
        candles.venue,
        candles.ts,
        candles.close
    from checked_ohlcv as candles
    inner join shared
        on shared.instrument = candles.instrument
        and shared.timeframe = candles.timeframe
    where candles.volume > 0
        and candles.close > 0
),

pairs as (
    select
        one.instrument,
        one.timeframe,
        one.ts,
        one.venue,
        one.close,
        other.venue as other_venue,
        other.close as other_close
    from closes as one
    inner join closes as other
        on other.instrument = one.instrument
        and other.timeframe = one.timeframe
        and other.ts = one.ts
        and other.venue > one.venue
    where abs(ln(one.close / other.close))
        > ln(1 + coalesce(getvariable('apart')::double, 0.05))
),

sides as (
    select instrument, timeframe, ts, venue, close, other_venue, other_close
    from pairs

    union all

    select instrument, timeframe, ts, other_venue, other_close, venue, close
    from pairs
),

accused as (
    select
        *
    from (
        select
            instrument,
            timeframe,
            ts,
            venue,
            any_value(close) as close,
            min(other_venue) as other_venue,
            arg_min(other_close, other_venue) as other_close,
            count(*) as others
        from sides
        group by instrument, timeframe, ts, venue
    )
    qualify row_number() over (
        partition by instrument, timeframe, ts
        order by others desc, venue
    ) = 1
),

runs as (
    select
        *,
        lake_slot(epoch_us(ts), lake_step(timeframe), lake_anchor(timeframe, venue))
            - row_number() over (
                partition by venue, instrument, timeframe
                order by ts
            ) as run
    from accused
)

select
    'ohlcv' as data_type,
    venue,
    instrument,
    timeframe,
    min(ts) as start_ts,
    max(ts) + lake_length(timeframe) as end_ts,
    count(*)::bigint as rows,
    concat(
        count(*),
        ' candles in a row close elsewhere than at ',
        arg_min(other_venue, ts),
        if(max(others) > 1, concat(' and ', max(others) - 1, ' more'), ''),
        ': first ',
        arg_min(close, ts),
        ' against ',
        arg_min(other_close, ts),
        ', at most ',
        round(100 * max(abs(close / other_close - 1)), 1),
        ' % apart'
    ) as detail
from runs
group by venue, instrument, timeframe, run
having count(*) >= coalesce(getvariable('candles')::bigint, 5)
order by venue, instrument, timeframe, start_ts;
