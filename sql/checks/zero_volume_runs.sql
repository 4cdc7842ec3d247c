-- check: zero_volume_runs
-- version: 1
-- severity: warning
-- reads: ohlcv
-- reach: series
-- parameters: candles = 5: how many candles in a row without a volume, at least;
--      chance = 0.000001: how unlikely such a run is, given how often the other quiet candles of
--      the series are followed by one more
-- returns: one row a run of candles without a volume that is too long for how the series trades
-- blind to: stops in a market that is quiet as often as not; stops without candles, which are gaps
-- why: a venue that stands still goes on sending candles, and what they say is no market
with quiet as (
    select
        venue,
        instrument,
        timeframe,
        ts,
        lake_slot(epoch_us(ts), lake_step(timeframe), lake_anchor(timeframe, venue)) as slot
    from checked_ohlcv
    where volume = 0
),

held as (
    select
        venue,
        instrument,
        timeframe,
        count(*) as candles
    from checked_ohlcv
    group by venue, instrument, timeframe
),

runs as (
    select
        venue,
        instrument,
        timeframe,
        min(ts) as start_ts,
        max(ts) as last_ts,
        count(*) as rows
    from (
        select
            *,
            slot - row_number() over (
                partition by venue, instrument, timeframe
                order by slot
            ) as run
        from quiet
    )
    group by venue, instrument, timeframe, run
),

-- Of all quiet candles outside of the run, how many are followed by another; one in ten at least.
habits as (
    select
        runs.*,
        held.candles,
        greatest(
            0.1,
            1 - (count(*) over series - 1) / nullif(sum(runs.rows) over series - runs.rows, 0)
        ) as repeats
    from runs
    inner join held
        on held.venue = runs.venue
        and held.instrument = runs.instrument
        and held.timeframe = runs.timeframe
    window series as (partition by runs.venue, runs.instrument, runs.timeframe)
)

select
    'ohlcv' as data_type,
    venue,
    instrument,
    timeframe,
    start_ts,
    last_ts + lake_length(timeframe) as end_ts,
    rows::bigint as rows,
    concat(
        rows,
        ' candles of ',
        timeframe,
        ' in a row without a volume; another quiet candle here is followed by one more in ',
        round(100 * repeats)::integer,
        ' % of cases at most'
    ) as detail
from habits
where rows >= coalesce(getvariable('candles')::bigint, 5)
    and rows < candles
    and ln(candles) + rows * ln(repeats) < ln(coalesce(getvariable('chance')::double, 0.000001))
order by venue, instrument, timeframe, start_ts;
