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
with followed as (
    -- A window without an order goes by the order of the files, which are sorted. What follows
    -- looks neighbours up by ts, so another order could hide a spike and never make one up. This
    -- one column costs nothing; with four of them the check took four times as long.
    select
        venue,
        instrument,
        timeframe,
        ts,
        high,
        low,
        lag(close) over () as earlier_close
    from checked_ohlcv
),

-- Whoever stands off both neighbours stands off the one before.
candidates as (
    select
        venue,
        instrument,
        timeframe,
        ts,
        lake_slot(epoch_us(ts), lake_step(timeframe), lake_anchor(timeframe, venue)) as slot
    from followed
    where high > earlier_close * (1 + coalesce(getvariable('least')::double, 0.01))
        or low * (1 + coalesce(getvariable('least')::double, 0.01)) < earlier_close
),

beside as (
    select
        candidates.*,
        places.place,
        lake_slot_open(
            candidates.slot + places.place,
            lake_step(candidates.timeframe),
            lake_anchor(candidates.timeframe, candidates.venue)
        ) as near_ts
    from candidates
    cross join (select unnest([-1, 0, 1]) as place) as places
),

enclosed as (
    select
        beside.venue,
        beside.instrument,
        beside.timeframe,
        beside.ts,
        beside.slot,
        any_value(rows.high) filter (beside.place = 0) as high,
        any_value(rows.low) filter (beside.place = 0) as low,
        any_value(rows.close) filter (beside.place = 0) as close,
        any_value(rows.close) filter (beside.place = -1) as earlier_close,
        any_value(rows.close) filter (beside.place = 1) as later_close,
        max(rows.high) filter (beside.place <> 0) as near_high,
        min(rows.low) filter (beside.place <> 0) as near_low
    from checked_ohlcv as rows
    inner join beside
        on beside.venue = rows.venue
        and beside.instrument = rows.instrument
        and beside.timeframe = rows.timeframe
        and beside.near_ts = rows.ts
    -- DuckDB takes what is no number for the largest.
    where isfinite(rows.low)
        and isfinite(rows.close)
        and isfinite(rows.high)
        and rows.low > 0
        and rows.close > 0
        and rows.high > 0
    group by beside.venue, beside.instrument, beside.timeframe, beside.ts, beside.slot
    having count(distinct beside.place) = 3
),

standing_off as (
    select
        *,
        greatest(
            ln(close / greatest(earlier_close, later_close)),
            ln(least(earlier_close, later_close) / close)
        ) as off_by,
        greatest(ln(high / near_high), ln(near_low / low)) as wick
    from enclosed
    where greatest(
            close / greatest(earlier_close, later_close),
            least(earlier_close, later_close) / close,
            high / near_high,
            near_low / low
        ) > 1 + coalesce(getvariable('least')::double, 0.01)
),

around as (
    select
        standing_off.venue,
        standing_off.instrument,
        standing_off.timeframe,
        standing_off.ts,
        places.place,
        lake_slot_open(
            standing_off.slot + places.place,
            lake_step(standing_off.timeframe),
            lake_anchor(standing_off.timeframe, standing_off.venue)
        ) as near_ts
    from standing_off
    cross join (select unnest(range(-60, 61)) as place) as places
),

moves as (
    select
        around.venue,
        around.instrument,
        around.timeframe,
        around.ts,
        around.place,
        nullif(abs(ln(rows.close / lag(rows.close) over candidate)), 0) as move
    from checked_ohlcv as rows
    inner join around
        on around.venue = rows.venue
        and around.instrument = rows.instrument
        and around.timeframe = rows.timeframe
        and around.near_ts = rows.ts
    where isfinite(rows.close)
        and rows.close > 0
    window candidate as (
        partition by around.venue, around.instrument, around.timeframe, around.ts
        order by around.place
    )
),

usual as (
    select
        venue,
        instrument,
        timeframe,
        ts,
        greatest(
            median(move),
            coalesce(median(move) filter (abs(place) <= 8), 0)
        ) as usual_move
    from moves
    -- The candle itself and the way back are what is judged.
    where place not in (0, 1)
    group by venue, instrument, timeframe, ts
    having count(move) >= 10
),

judged as (
    select
        standing_off.*,
        usual.usual_move,
        off_by > ln(1 + coalesce(getvariable('least')::double, 0.01))
            and off_by > coalesce(getvariable('deviations')::double, 25) * usual_move as is_close
    from standing_off
    inner join usual
        on usual.venue = standing_off.venue
        and usual.instrument = standing_off.instrument
        and usual.timeframe = standing_off.timeframe
        and usual.ts = standing_off.ts
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
