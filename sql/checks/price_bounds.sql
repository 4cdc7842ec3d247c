-- check: price_bounds
-- version: 1
-- severity: error
-- reads: ohlcv
-- reach: series
-- repair: refetch
-- parameters: none
-- returns: one row a stored candle whose prices cannot be: not a number, not above zero, or open or
--      close outside of low to high; or with an amount that is negative or no number
-- blind to: a price that is possible and wrong; see spikes
-- why: such rows are refused when they arrive, so one that is stored was altered, or our own fault
select
    'ohlcv' as data_type,
    venue,
    instrument,
    timeframe,
    ts as start_ts,
    close_ts as end_ts,
    1::bigint as rows,
    concat_ws(
        ', ',
        concat('open ', open),
        concat('high ', high),
        concat('low ', low),
        concat('close ', close),
        concat('volume ', volume)
    ) as detail
from checked_ohlcv
where not (
        isfinite(open) and isfinite(high) and isfinite(low) and isfinite(close)
        and isfinite(volume)
        and low > 0
        and low <= least(open, close)
        and high >= greatest(open, close)
        and volume >= 0
    )
    or open is null or high is null or low is null or close is null or volume is null
order by venue, instrument, timeframe, ts;
