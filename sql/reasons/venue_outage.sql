-- reason: venue_outage
-- version: 1
-- dialect: duckdb
-- reads: checked_holes, checked_partitions, checked_series, lake.notes: no Parquet file is opened
-- parameters: chance = 0.001: how likely quiet markets may be the whole explanation
-- returns: series_id, start_ts, end_ts, reason, evidence: holes in which a venue was down
-- why: a venue was down where all that were asked lack what they have as a rule, so that chance
--      does not explain it; or where the last candle before a hole closed early. What is known of
--      one timeframe or instrument holds for the whole venue. Where anybody traded, it was not down
with holes as (
    select *
    from checked_holes
    where is_promised
),

spans as (
    select
        venue,
        timeframe,
        min_ts as start_ts,
        max_ts + lake_length(timeframe) as end_ts,
        gap_runs
    from checked_partitions
    where data_type = 'ohlcv'
        and min_ts is not null
),

ends as (
    select
        venue,
        timeframe,
        unnest([start_ts, end_ts]) as moment,
        0 as lacking,
        unnest([1, -1]) as held
    from spans

    union all

    select
        venue,
        timeframe,
        unnest([make_timestamp(run[1]), make_timestamp(run[2])]) as moment,
        0 as lacking,
        unnest([-1, 1]) as held
    from (
        select
            venue,
            timeframe,
            unnest(gap_runs) as run
        from spans
    )

    union all

    select
        venue,
        timeframe,
        unnest([start_ts, end_ts]) as moment,
        unnest([1, -1]) as lacking,
        0 as held
    from holes
),

steps as (
    select
        venue,
        timeframe,
        moment,
        sum(sum(lacking)) over later as lacking,
        sum(sum(held)) over later as held,
        lead(moment) over later as until
    from ends
    group by venue, timeframe, moment
    window later as (partition by venue, timeframe order by moment)
),

-- Touching stretches in which other series are silent are one.
silent as (
    select
        venue,
        timeframe,
        min(moment) as start_ts,
        max(until) as end_ts
    from (
        select
            steps.*,
            sum(is_new::integer) over (partition by venue, timeframe order by moment) as run
        from (
            select
                steps.*,
                coalesce(
                    lag(until) over (partition by venue, timeframe order by moment) <> moment, true
                ) as is_new
            from steps
            where lacking >= 2
                and held = 0
                and until > moment
        ) as steps
    )
    group by venue, timeframe, run
),

absent as (
    select
        series_id,
        sum(
            lake_slot(epoch_us(end_ts), lake_step(timeframe), lake_anchor(timeframe, venue))
            - lake_slot(epoch_us(start_ts), lake_step(timeframe), lake_anchor(timeframe, venue))
        ) as slots
    from holes
    group by series_id
),

habits as (
    select
        partitions.series_id,
        ln((any_value(absent.slots) + 1) / (sum(rows) + any_value(absent.slots) + 1))
            as log_of_absence,
        sum(rows) + any_value(absent.slots) as slots
    from checked_partitions as partitions
    inner join absent on absent.series_id = partitions.series_id
    group by partitions.series_id
),

witnessed as (
    select
        silent.venue,
        silent.timeframe,
        silent.start_ts,
        silent.end_ts,
        count(distinct holes.series_id) as series
    from silent
    inner join holes
        on holes.venue = silent.venue
        and holes.timeframe = silent.timeframe
        and holes.start_ts < silent.end_ts
        and holes.end_ts > silent.start_ts
    inner join habits on habits.series_id = holes.series_id
    group by silent.venue, silent.timeframe, silent.start_ts, silent.end_ts
    having
        ln(max(habits.slots))
        + sum(
            habits.log_of_absence
            * greatest(
                datediff(
                    'second',
                    greatest(holes.start_ts, silent.start_ts),
                    least(holes.end_ts, silent.end_ts)
                )
                / epoch(lake_length(silent.timeframe)),
                1
            )
        )
        < ln(coalesce(getvariable('chance')::double, 0.001))
),

outages as (
    select
        venue,
        start_ts,
        end_ts,
        concat('none of ', series, ' instruments has a ', timeframe, ' candle there') as evidence,
        1 as kind
    from witnessed

    union all

    select
        holes.venue,
        holes.start_ts,
        holes.end_ts,
        concat(
            'the ', holes.instrument, ' ', holes.timeframe, ' candle before it ', notes.text
        ) as evidence,
        2 as kind
    from holes
    inner join lake.notes as notes
        on notes.series_id = holes.series_id
        and notes.kind = 'early_close'
        and make_timestamp(notes.ts) + lake_length(holes.timeframe) = holes.start_ts
),

-- Of a hole that is only partly inside, the candles that lie wholly inside.
inside as (
    select
        holes.series_id,
        if(
            outages.start_ts <= holes.start_ts,
            holes.start_ts,
            lake_slot_open(
                lake_slot(
                    epoch_us(outages.start_ts),
                    lake_step(holes.timeframe),
                    lake_anchor(holes.timeframe, holes.venue)
                ),
                lake_step(holes.timeframe),
                lake_anchor(holes.timeframe, holes.venue)
            )
        ) as start_ts,
        if(
            outages.end_ts >= holes.end_ts,
            holes.end_ts,
            lake_open(outages.end_ts, holes.timeframe, holes.venue)
        ) as end_ts,
        outages.evidence,
        outages.kind
    from outages
    inner join holes
        on holes.venue = outages.venue
        and holes.start_ts < outages.end_ts
        and holes.end_ts > outages.start_ts
),

numbered as (
    select
        series_id,
        start_ts,
        end_ts,
        evidence,
        kind,
        sum(is_new::integer) over (partition by series_id order by start_ts, end_ts desc) as run
    from (
        select
            inside.*,
            coalesce(
                max(end_ts) over (
                    partition by series_id
                    order by start_ts, end_ts desc
                    rows between unbounded preceding and 1 preceding
                )
                < start_ts,
                true
            ) as is_new
        from inside
        where start_ts < end_ts
    )
)

select
    series_id,
    min(start_ts) as start_ts,
    max(end_ts) as end_ts,
    'venue_outage' as reason,
    concat_ws(
        '; ',
        min(evidence) filter (kind = 1),
        min(evidence) filter (kind = 2)
    ) as evidence
from numbered
group by series_id, run
order by series_id, start_ts;
