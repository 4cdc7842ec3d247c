-- check: off_grid
-- version: 1
-- severity: error
-- reads: ohlcv
-- reach: series
-- repair: refetch
-- parameters: none
-- returns: one row a run of neighbouring candles that open at no moment at which candles of their
--      timeframe and venue open: weeks do on Mondays, months on the first, 3d as the venue counts
-- blind to: candles that stand on the grid and belong to another slot; see rollup
-- why: such rows are refused when they arrive, and joins on ts never meet one that is stored
with strays as (
    select
        file_number,
        place,
        venue,
        instrument,
        timeframe,
        ts,
        -- The slot is the first that opens at ts or later.
        lake_slot_open(slot, lake_step(timeframe), lake_anchor(timeframe, venue)) - ts as early
    from checked_positions
    where ts <> lake_slot_open(slot, lake_step(timeframe), lake_anchor(timeframe, venue))
),

runs as (
    select
        *,
        place - row_number() over (
            partition by file_number
            order by place
        ) as run
    from strays
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
        'no candle of ',
        timeframe,
        ' opens at ',
        min(ts),
        if(count(*) = 1, '', concat(' and ', count(*) - 1, ' more like it')),
        '; the next one opens ',
        arg_min(early, ts),
        ' later'
    ) as detail
from runs
group by file_number, venue, instrument, timeframe, run
order by venue, instrument, timeframe, start_ts;
