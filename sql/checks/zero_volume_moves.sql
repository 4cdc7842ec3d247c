-- check: zero_volume_moves
-- version: 1
-- severity: error
-- reads: ohlcv
-- reach: series
-- repair: refetch
-- parameters: none
-- returns: one row a run of neighbouring candles in which volume, trades and price contradict one
--      another: a price that moved, or trades, without a volume; a volume without a trade
-- blind to: volumes that are above zero and wrong; see vwap_bounds and rollup
-- why: volume-weighted prices and filters for quiet candles rest on all three
with strange as (
    select
        venue,
        instrument,
        timeframe,
        ts,
        lake_slot(epoch_us(ts), lake_step(timeframe), lake_anchor(timeframe, venue)) as slot,
        case
            when volume > 0 then 'a volume without a trade'
            when trade_count > 0 then 'trades without a volume'
            else 'a price that moves without a volume'
        end as what
    from checked_ohlcv
    where (volume = 0 and (high <> low or open <> close or trade_count > 0))
        or (volume > 0 and trade_count = 0)
),

runs as (
    select
        *,
        slot - row_number() over (
            partition by venue, instrument, timeframe, what
            order by slot
        ) as run
    from strange
)

select
    'ohlcv' as data_type,
    venue,
    instrument,
    timeframe,
    min(ts) as start_ts,
    max(ts) + lake_length(timeframe) as end_ts,
    count(*)::bigint as rows,
    concat(count(*), if(count(*) = 1, ' candle has ', ' candles have '), what) as detail
from runs
group by venue, instrument, timeframe, what, run
order by venue, instrument, timeframe, start_ts;
