-- reason: trades
-- version: 1
-- dialect: duckdb
-- reads: checked_holes, checked_coverage, and trades of the same instrument
-- reach: instrument
-- parameters: none
-- returns: series_id, start_ts, end_ts, reason, evidence: a missing candle of whose time trades are
--      held was lost by its source; where none is, nothing was traded, if trades are held whole
--      there, or those before and after it bear numbers that follow one another
-- why: trades are what candles are made of
with traded as (
    select distinct
        venue,
        instrument
    from checked_series
    where data_type = 'trades'
),

holes as (
    select holes.*
    from checked_holes as holes
    inner join traded
        on traded.venue = holes.venue
        and traded.instrument = holes.instrument
),

frames as (
    select distinct
        series_id,
        venue,
        instrument,
        timeframe
    from holes
),

missing as (
    select
        holes.series_id,
        holes.venue,
        holes.instrument,
        holes.timeframe,
        slots.slot,
        lake_slot_open(
            slots.slot, lake_step(holes.timeframe), lake_anchor(holes.timeframe, holes.venue)
        ) as start_ts,
        lake_slot_open(
            slots.slot + 1, lake_step(holes.timeframe), lake_anchor(holes.timeframe, holes.venue)
        ) as end_ts
    from holes,
        lateral (
            select unnest(
                range(
                    lake_slot(
                        epoch_us(holes.start_ts),
                        lake_step(holes.timeframe),
                        lake_anchor(holes.timeframe, holes.venue)
                    ),
                    lake_slot(
                        epoch_us(holes.end_ts),
                        lake_step(holes.timeframe),
                        lake_anchor(holes.timeframe, holes.venue)
                    )
                )
            ) as slot
        ) as slots
),

inside as (
    select
        frames.series_id,
        lake_open(trades.ts, frames.timeframe, frames.venue) as start_ts,
        count(*) as trades
    from frames
    inner join checked_trades as trades
        on trades.venue = frames.venue
        and trades.instrument = frames.instrument
    group by 1, 2
),

numbered as (
    select
        venue,
        instrument,
        ts,
        min(trade_id) as first_id,
        max(trade_id) as last_id
    from checked_trades
    where trade_id is not null
    group by venue, instrument, ts
),

bordered as (
    select
        earlier.series_id,
        earlier.start_ts,
        earlier.last_id as id_before,
        later.first_id as id_after
    from (
        select
            missing.series_id,
            missing.start_ts,
            missing.end_ts,
            missing.venue,
            missing.instrument,
            numbered.last_id
        from missing
        asof inner join numbered
            on numbered.venue = missing.venue
            and numbered.instrument = missing.instrument
            and missing.start_ts > numbered.ts
    ) as earlier
    asof inner join numbered as later
        on later.venue = earlier.venue
        and later.instrument = earlier.instrument
        and earlier.end_ts <= later.ts
),

whole as (
    select distinct
        missing.series_id,
        missing.start_ts
    from missing
    inner join checked_coverage as coverage
        on coverage.data_type = 'trades'
        and coverage.basis <> 'rows_only'
        and coverage.venue = missing.venue
        and coverage.instrument = missing.instrument
        and coverage.start_time <= missing.start_ts
        and coverage.end_time >= missing.end_ts
),

judged as (
    select
        missing.series_id,
        missing.venue,
        missing.timeframe,
        missing.slot,
        case
            when inside.trades > 0 then 'lost_by_source'
            when bordered.id_after is not null or whole.series_id is not null then 'no_trades'
        end as reason,
        case
            when inside.trades > 0 then concat(inside.trades, ' trades of it are held')
            when bordered.id_after is not null then
                concat(
                    'trades ', bordered.id_before, ' and ', bordered.id_after,
                    ' follow one another on its two sides'
                )
            else 'trades are held whole there, and none is in it'
        end as evidence
    from missing
    left join inside
        on inside.series_id = missing.series_id
        and inside.start_ts = missing.start_ts
    left join bordered
        on bordered.series_id = missing.series_id
        and bordered.start_ts = missing.start_ts
        and bordered.id_after = bordered.id_before + 1
    left join whole
        on whole.series_id = missing.series_id
        and whole.start_ts = missing.start_ts
),

runs as (
    select
        judged.*,
        slot - row_number() over (partition by series_id, reason, evidence order by slot) as run
    from judged
    where reason is not null
)

select
    series_id,
    lake_slot_open(
        min(slot),
        lake_step(any_value(timeframe)),
        lake_anchor(any_value(timeframe), any_value(venue))
    ) as start_ts,
    lake_slot_open(
        max(slot) + 1,
        lake_step(any_value(timeframe)),
        lake_anchor(any_value(timeframe), any_value(venue))
    ) as end_ts,
    reason,
    evidence
from runs
group by series_id, reason, evidence, run
order by series_id, start_ts;
