-- reason: longer_candles
-- version: 1
-- dialect: duckdb
-- reads: checked_holes, and candles of the same instrument in longer timeframes
-- reach: instrument
-- parameters: tolerance = 0.000001: by what share of a candle's volume sums may differ
-- returns: series_id, start_ts, end_ts, reason, evidence: what was traded in a longer candle and is
--      in none of the shorter ones held was lost by the source; where they hold all of it, nothing
--      was traded in those that are missing
-- why: of several longer candles the shortest tells most exactly where something is missing
with holes as (
    select *
    from checked_holes
),

longer as (
    select distinct
        holes.series_id,
        holes.venue,
        holes.instrument,
        holes.timeframe,
        series.timeframe as longer
    from holes
    inner join checked_series as series
        on series.data_type = 'ohlcv'
        and series.venue = holes.venue
        and series.instrument = holes.instrument
        and lake_length(series.timeframe) > lake_length(holes.timeframe)
),

missing as (
    select
        holes.series_id,
        holes.venue,
        holes.timeframe,
        longer.instrument,
        longer.longer,
        slots.slot,
        lake_open(
            lake_slot_open(
                slots.slot,
                lake_step(holes.timeframe),
                lake_anchor(holes.timeframe, holes.venue)
            ),
            longer.longer,
            holes.venue
        ) as opened
    from holes
    inner join longer on longer.series_id = holes.series_id,
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

wanted as (
    select distinct
        series_id,
        venue,
        instrument,
        timeframe,
        longer,
        opened
    from missing
),

said as (
    select
        wanted.series_id,
        wanted.venue,
        wanted.instrument,
        wanted.timeframe,
        wanted.longer,
        wanted.opened,
        candles.volume
    from wanted
    inner join checked_ohlcv as candles
        on candles.venue = wanted.venue
        and candles.instrument = wanted.instrument
        and candles.timeframe = wanted.longer
        and candles.ts = wanted.opened
),

held as (
    select
        longer.series_id,
        longer.longer,
        lake_open(candles.ts, longer.longer, longer.venue) as opened,
        sum(candles.volume) as volume
    from longer
    inner join checked_ohlcv as candles
        on candles.venue = longer.venue
        and candles.instrument = longer.instrument
        and candles.timeframe = longer.timeframe
    group by 1, 2, 3
),

verdicts as (
    select
        said.series_id,
        said.longer,
        said.opened,
        if(
            abs(said.volume - coalesce(held.volume, 0))
            <= said.volume * coalesce(getvariable('tolerance')::double, 0.000001),
            'no_trades',
            'lost_by_source'
        ) as reason,
        concat(
            'the ', said.longer, ' candle of ', strftime(said.opened, '%xT%H:%M'), ' has volume ',
            round(said.volume, 8), ', its ', said.timeframe, ' candles ',
            round(coalesce(held.volume, 0), 8)
        ) as evidence
    from said
    left join held
        on held.series_id = said.series_id
        and held.longer = said.longer
        and held.opened = said.opened
    where said.volume
        >= coalesce(held.volume, 0) * (1 - coalesce(getvariable('tolerance')::double, 0.000001))
),

judged as (
    select
        missing.series_id,
        any_value(missing.venue) as venue,
        any_value(missing.timeframe) as timeframe,
        missing.slot,
        arg_min(verdicts.reason, lake_length(missing.longer)) as reason,
        arg_min(verdicts.evidence, lake_length(missing.longer)) as evidence
    from missing
    inner join verdicts
        on verdicts.series_id = missing.series_id
        and verdicts.longer = missing.longer
        and verdicts.opened = missing.opened
    group by missing.series_id, missing.slot
),

runs as (
    select
        judged.*,
        slot - row_number() over (partition by series_id, reason, evidence order by slot) as run
    from judged
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
