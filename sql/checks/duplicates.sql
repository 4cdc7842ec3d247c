-- check: duplicates
-- version: 1
-- severity: error
-- reads: ohlcv
-- reach: series
-- repair: refetch
-- parameters: none
-- returns: one row a run of neighbouring candles that are held more than once, in one file or in
--      two; rows is how many are too many
-- blind to: candles that are held under two names of one instrument
-- why: sums over a candle that is there twice count its volume twice, and joins multiply it
with unbroken as (
    select
        file_number,
        any_value(venue) as venue,
        any_value(instrument) as instrument,
        any_value(timeframe) as timeframe,
        min(slot) as first_slot,
        max(slot) as last_slot
    from checked_positions
    group by file_number, slot - place
),

-- Within an unbroken run no slot comes twice, so one that does is in two runs that overlap.
suspects as (
    select distinct
        venue,
        instrument,
        timeframe
    from (
        select
            *,
            max(last_slot) over (
                partition by venue, instrument, timeframe
                order by first_slot, last_slot
                rows between unbounded preceding and 1 preceding
            ) as reached
        from unbroken
    )
    where first_slot <= reached
),

repeated as (
    select
        positions.venue,
        positions.instrument,
        positions.timeframe,
        positions.slot,
        positions.ts,
        count(*) as times,
        count(distinct positions.file_number) as files
    from checked_positions as positions
    inner join suspects
        on suspects.venue = positions.venue
        and suspects.instrument = positions.instrument
        and suspects.timeframe = positions.timeframe
    group by positions.venue, positions.instrument, positions.timeframe, positions.slot, positions.ts
    having count(*) > 1
),

runs as (
    select
        *,
        slot - dense_rank() over (
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
    min(ts) as start_ts,
    max(ts) + lake_length(timeframe) as end_ts,
    sum(times - 1)::bigint as rows,
    concat(
        count(*),
        if(count(*) = 1, ' candle is held ', ' candles are held '),
        if(max(times) = 2, 'twice', concat('up to ', max(times), ' times')),
        if(max(files) = 1, ' in one file', concat(' in ', max(files), ' files'))
    ) as detail
from runs
group by venue, instrument, timeframe, run
order by venue, instrument, timeframe, start_ts;
