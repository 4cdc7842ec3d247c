-- check: spikes
-- version: 1
-- severity: warning
-- reads: ohlcv
-- reach: series
-- repair: refetch
-- parameters: deviations = 25: how many times the usual move a close must stand off its neighbours;
--      wicks = 100: the same for a high or low alone;
--      least = 0.01: and by which fraction at least
-- returns: one row a candle whose close stands off both its neighbours' on the same side: a price
--      that jumps and comes back. A high or low that does so alone is information: it may have been
--      traded. The usual move is the median of those that are none, of the 8 candles before and
--      after or of the 60, whichever is larger
-- blind to: jumps that stay or come back later, spikes beside a gap, markets that hardly ever move
-- why: one price with a shifted point is the largest return of the year, in every statistic
with neighbours as (
    -- A window without an order goes by the order of the files, which are sorted. What follows
    -- looks the neighbours up by ts, so another order could hide a spike and never make one up.
    select
        venue,
        instrument,
        timeframe,
        ts,
        high,
        low,
        close,
        lag(high) over () as earlier_high,
        lag(low) over () as earlier_low,
        lag(close) over () as earlier_close,
        lead(high) over () as later_high,
        lead(low) over () as later_low,
        lead(close) over () as later_close
    from checked_ohlcv
),

candidates as (
    select
        venue,
        instrument,
        timeframe,
        ts,
        lake_slot(epoch_us(ts), lake_step(timeframe), lake_anchor(timeframe, venue)) as slot
    from neighbours
    where close > greatest(earlier_close, later_close)
            * (1 + coalesce(getvariable('least')::double, 0.01))
        or close * (1 + coalesce(getvariable('least')::double, 0.01))
            < least(earlier_close, later_close)
        or high > greatest(earlier_high, later_high)
            * (1 + coalesce(getvariable('least')::double, 0.01))
        or low * (1 + coalesce(getvariable('least')::double, 0.01))
            < least(earlier_low, later_low)
),

around as (
    select
        candidates.venue,
        candidates.instrument,
        candidates.timeframe,
        candidates.ts,
        nearby.place,
        lake_slot_open(
            candidates.slot + nearby.place,
            lake_step(candidates.timeframe),
            lake_anchor(candidates.timeframe, candidates.venue)
        ) as near_ts
    from candidates
    cross join (select unnest(range(-60, 61)) as place) as nearby
),

moves as (
    select
        around.venue,
        around.instrument,
        around.timeframe,
        around.ts,
        around.place,
        rows.high,
        rows.low,
        rows.close,
        nullif(abs(ln(rows.close / lag(rows.close) over candidate)), 0) as move
    from checked_ohlcv as rows
    inner join around
        on around.venue = rows.venue
        and around.instrument = rows.instrument
        and around.timeframe = rows.timeframe
        and around.near_ts = rows.ts
    where rows.low > 0
        and rows.close > 0
        and rows.high > 0
    window candidate as (
        partition by around.venue, around.instrument, around.timeframe, around.ts
        order by around.place
    )
),

surroundings as (
    select
        venue,
        instrument,
        timeframe,
        ts,
        any_value(high) filter (place = 0) as high,
        any_value(low) filter (place = 0) as low,
        any_value(close) filter (place = 0) as close,
        any_value(close) filter (place = -1) as earlier_close,
        any_value(close) filter (place = 1) as later_close,
        max(high) filter (abs(place) = 1) as near_high,
        min(low) filter (abs(place) = 1) as near_low,
        -- The candle itself and the way back are what is judged.
        greatest(
            median(move) filter (place not in (0, 1)),
            coalesce(median(move) filter (place not in (0, 1) and abs(place) <= 8), 0)
        ) as usual_move,
        count(move) filter (place not in (0, 1)) as counted
    from moves
    group by venue, instrument, timeframe, ts
    having count(*) filter (abs(place) = 1) = 2
),

judged as (
    select
        *,
        greatest(
            ln(close / greatest(earlier_close, later_close)),
            ln(least(earlier_close, later_close) / close)
        ) as off_by,
        greatest(ln(high / near_high), ln(near_low / low)) as wick,
        off_by > ln(1 + coalesce(getvariable('least')::double, 0.01))
            and off_by > coalesce(getvariable('deviations')::double, 25) * usual_move as is_close
    from surroundings
    where counted >= 10
)

select
    'ohlcv' as data_type,
    venue,
    instrument,
    timeframe,
    ts as start_ts,
    ts + lake_length(timeframe) as end_ts,
    1::bigint as rows,
    if(
        is_close,
        concat(
            'close ',
            close,
            ' between ',
            earlier_close,
            ' and ',
            later_close,
            ': ',
            round(off_by / usual_move)::bigint,
            ' times the usual move'
        ),
        concat(
            'low ',
            low,
            ' and high ',
            high,
            ' about a close of ',
            close,
            ': ',
            round(wick / usual_move)::bigint,
            ' times the usual move'
        )
    ) as detail,
    if(is_close, 'warning', 'info') as severity
from judged
where is_close
    or (
        wick > ln(1 + coalesce(getvariable('least')::double, 0.01))
        and wick > coalesce(getvariable('wicks')::double, 100) * usual_move
    )
order by venue, instrument, timeframe, ts;
