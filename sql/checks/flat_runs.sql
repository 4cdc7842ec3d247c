-- check: flat_runs
-- version: 1
-- severity: warning
-- reads: ohlcv
-- reach: series
-- repair: refetch
-- parameters: candles = 5: how many candles in a row that are equal in every price and in volume,
--      at least
-- returns: one row a run of neighbouring candles that repeat the one before, a volume included
-- blind to: a feed that stands still without a volume; see zero_volume_runs. Candles of one price
--      and changing volumes, which a market with a large tick writes by the hour
-- why: a stuck feed repeats what it said last, and looks like a market without any risk
with neighbours as (
    -- A window without an order goes by the order of the files, which are sorted. A pair counts
    -- only if ts says that it is one, so another order could hide a run and never make one up.
    select
        venue,
        instrument,
        timeframe,
        ts,
        close_ts,
        close,
        volume,
        open = lag(open) over () and high = lag(high) over () and low = lag(low) over ()
            and close = lag(close) over () and volume = lag(volume) over ()
            and ts = lag(close_ts) over () and instrument = lag(instrument) over ()
            and venue = lag(venue) over () as is_repeated
    from checked_ohlcv
),

repeated as (
    select
        *,
        lake_slot(epoch_us(ts), lake_step(timeframe), lake_anchor(timeframe, venue)) as slot
    from neighbours
    where is_repeated
        and volume > 0
),

runs as (
    select
        *,
        slot - row_number() over (
            partition by venue, instrument, timeframe
            order by slot
        ) as run
    from repeated
)

select
    'ohlcv' as data_type,
    venue,
    instrument,
    timeframe,
    lake_open(min(ts) - interval 1 microsecond, timeframe, venue) as start_ts,
    max(close_ts) as end_ts,
    count(*)::bigint + 1 as rows,
    concat(
        count(*) + 1,
        ' candles in a row are the same: close ',
        any_value(close),
        ', volume ',
        any_value(volume)
    ) as detail
from runs
group by venue, instrument, timeframe, run
having count(*) + 1 >= coalesce(getvariable('candles')::bigint, 5)
order by venue, instrument, timeframe, start_ts;
