-- view: gaps
-- version: 2
-- dialect: duckdb
-- reads: lake.series, lake.partitions, lake.coverage, lake.quarantine, lake.gap_facts,
--      lake.failed_ranges, lake.beyond_source, lake.cancelled_ranges, lake.ingestion_jobs: no Parquet
--      file is opened
-- returns: one row a maximal run of missing candles of one reason, half-open, UTC; the same as
--      `lake gaps` says of candles (for trades, books and funding ask that command)
-- why: a sweep over the ends of all ranges takes time linear in their number. The reasons are
--      numbered, the most telling first; 0 is held, 14 that nobody ever asked, and from 12 on the
--      reason is the same. What other rows show (gap_facts) is found by sql/reasons
create or replace view gaps as
with candles as (
    select
        series.*,
        lake_step(series.timeframe) as step,
        lake_anchor(series.timeframe, series.venue) as anchor
    from lake.series as series
    where series.data_type = 'ohlcv'
),

stored as (
    select
        candles.series_id,
        candles.step,
        candles.anchor,
        lake_slot(partitions.min_ts, candles.step, candles.anchor) as first_slot,
        lake_slot(partitions.max_ts, candles.step, candles.anchor) + 1 as end_slot,
        partitions.gap_runs
    from lake.partitions as partitions
    inner join candles on candles.series_id = partitions.series_id
    where partitions.min_ts is not null
),

holes as (
    select
        series_id,
        lake_slot(run[1], step, anchor) as first_slot,
        lake_slot(run[2], step, anchor) as end_slot
    from (
        select
            series_id,
            step,
            anchor,
            unnest(gap_runs::json::bigint[][]) as run
        from stored
    )
),

firsts as (
    select
        series_id,
        min(first_slot) as first_held
    from stored
    group by series_id
),

facts as (
    select
        candles.series_id,
        1 as rank,
        -1 as first_slot,
        lake_slot(candles.retained_from, candles.step, candles.anchor) as end_slot,
        concat('retained from ', strftime(make_timestamp(candles.retained_from), '%xT%X'))
            as evidence
    from candles
    where candles.retained_from is not null

    union all

    select
        candles.series_id,
        2 as rank,
        lake_slot(quarantine.ts + 1, candles.step, candles.anchor) - 1 as first_slot,
        lake_slot(quarantine.ts + 1, candles.step, candles.anchor) as end_slot,
        quarantine.reason as evidence
    from lake.quarantine as quarantine
    inner join candles on candles.series_id = quarantine.series_id
    where quarantine.ts is not null

    union all

    select
        candles.series_id,
        3 as rank,
        -1 as first_slot,
        least(
            lake_slot(candles.first_available, candles.step, candles.anchor),
            firsts.first_held
        ) as end_slot,
        concat(
            'the venue''s first candle opens ',
            strftime(make_timestamp(candles.first_available), '%xT%X')
        ) as evidence
    from candles
    left join firsts on firsts.series_id = candles.series_id
    where candles.first_available is not null

    union all

    select
        candles.series_id,
        4 as rank,
        lake_slot(
            epoch_us(
                strptime(regexp_extract(candles.instrument, '-(\d{6})(?:-|$)', 1), '%y%m%d')
                + interval 1 day
            ),
            candles.step,
            candles.anchor
        ) as first_slot,
        9223372036854775807 as end_slot,
        concat('expired in ', regexp_extract(candles.instrument, '-(\d{6})(?:-|$)', 1)) as evidence
    from candles
    where regexp_matches(candles.instrument, '-\d{6}(-|$)')
        and try_strptime(regexp_extract(candles.instrument, '-(\d{6})(?:-|$)', 1), '%y%m%d')
            is not null

    union all

    select
        candles.series_id,
        case
            when coverage.source = 'derived' then 7
            when coverage.evidence = 'candles without trades are left out' then 7
            when coverage.basis = 'rows_only' then 13
            else 8
        end as rank,
        lake_slot(coverage.start_ts, candles.step, candles.anchor) as first_slot,
        lake_slot(coverage.end_ts, candles.step, candles.anchor) as end_slot,
        concat(
            coverage.source,
            if(coverage.source = coverage.basis, '', ' ' || coverage.basis),
            ' of ',
            strftime(make_timestamp(coverage.confirmed_at), '%Y-%m-%d'),
            if(coverage.evidence = '', '', ', ' || coverage.evidence),
            if(
                coverage.basis = 'rows_only'
                and coverage.evidence <> 'candles without trades are left out',
                ', which does not promise to be whole',
                ''
            )
        ) as evidence
    from lake.coverage as coverage
    inner join candles on candles.series_id = coverage.series_id

    union all

    select
        candles.series_id,
        case facts.reason when 'lost_by_source' then 5 when 'venue_outage' then 6 else 7 end as rank,
        lake_slot(facts.start_ts, candles.step, candles.anchor) as first_slot,
        lake_slot(facts.end_ts, candles.step, candles.anchor) as end_slot,
        facts.evidence
    from lake.gap_facts as facts
    inner join candles on candles.series_id = facts.series_id

    union all

    select
        candles.series_id,
        12 as rank,
        lake_slot(cancelled.start_ts, candles.step, candles.anchor) as first_slot,
        lake_slot(cancelled.end_ts, candles.step, candles.anchor) as end_slot,
        concat('asked for, but the job was cancelled: ', cancelled.why) as evidence
    from lake.cancelled_ranges as cancelled
    inner join candles on candles.series_id = cancelled.series_id

    union all

    select
        candles.series_id,
        9 as rank,
        lake_slot(failed.start_ts, candles.step, candles.anchor) as first_slot,
        lake_slot(failed.end_ts, candles.step, candles.anchor) as end_slot,
        failed.error as evidence
    from lake.failed_ranges as failed
    inner join candles on candles.series_id = failed.series_id

    union all

    select
        candles.series_id,
        10 as rank,
        lake_slot(beyond.start_ts, candles.step, candles.anchor) as first_slot,
        lake_slot(beyond.end_ts, candles.step, candles.anchor) as end_slot,
        beyond.why as evidence
    from lake.beyond_source as beyond
    inner join candles on candles.series_id = beyond.series_id

    union all

    select
        candles.series_id,
        11 as rank,
        lake_slot(jobs.start_time, candles.step, candles.anchor) as first_slot,
        lake_slot(jobs.end_time, candles.step, candles.anchor) as end_slot,
        'not settled when last asked for' as evidence
    from lake.ingestion_jobs as jobs
    inner join candles on candles.series_id = jobs.series_id
    where jobs.status = 'completed'
        and jobs.kind not in ('import', 'generate', 'derive')
),

hulls as (
    select
        series_id,
        min(first_slot) as first_slot,
        max(end_slot) as end_slot
    from (
        select
            series_id,
            first_slot,
            end_slot
        from stored

        union all

        select
            candles.series_id,
            lake_slot(coverage.start_ts, candles.step, candles.anchor) as first_slot,
            lake_slot(coverage.end_ts, candles.step, candles.anchor) as end_slot
        from lake.coverage as coverage
        inner join candles on candles.series_id = coverage.series_id

        union all

        select
            candles.series_id,
            lake_slot(candles.wanted_start, candles.step, candles.anchor) as first_slot,
            lake_slot(candles.wanted_end, candles.step, candles.anchor) as end_slot
        from candles
        where candles.wanted_start is not null
    )
    group by series_id
),

ranges as (
    select
        series_id,
        0 as rank,
        first_slot,
        end_slot,
        1 as weight
    from stored

    union all

    select
        series_id,
        0 as rank,
        first_slot,
        end_slot,
        -1 as weight
    from holes

    union all

    select
        series_id,
        rank,
        first_slot,
        end_slot,
        1 as weight
    from facts

    union all

    select
        series_id,
        14 as rank,
        first_slot,
        end_slot,
        1 as weight
    from hulls
),

ends as (
    select
        ranges.series_id,
        greatest(ranges.first_slot, hulls.first_slot) as slot,
        ranges.rank,
        ranges.weight
    from ranges
    inner join hulls on hulls.series_id = ranges.series_id
    where greatest(ranges.first_slot, hulls.first_slot) < least(ranges.end_slot, hulls.end_slot)

    union all

    select
        ranges.series_id,
        least(ranges.end_slot, hulls.end_slot) as slot,
        ranges.rank,
        -ranges.weight as weight
    from ranges
    inner join hulls on hulls.series_id = ranges.series_id
    where greatest(ranges.first_slot, hulls.first_slot) < least(ranges.end_slot, hulls.end_slot)
),

changes as (
    select
        series_id,
        slot,
        list_transform(
            range(15),
            lambda number: list_sum(
                list_transform(
                    list_filter(list({'rank': rank, 'weight': weight}), lambda e: e['rank'] = number),
                    lambda e: e['weight']
                )
            )
        ) as weights
    from ends
    group by series_id, slot
),

levels as (
    select
        series_id,
        slot,
        lead(slot) over later as end_slot,
        unnest(range(15)) as rank,
        unnest(weights) as weight
    from changes
    window later as (partition by series_id order by slot)
),

active as (
    select
        series_id,
        slot,
        end_slot,
        rank,
        sum(coalesce(weight, 0)) over (
            partition by series_id, rank
            order by slot
        ) as depth
    from levels
),

segments as (
    select
        series_id,
        slot,
        any_value(end_slot) as end_slot,
        least(min(rank) filter (depth > 0), 12) as rank
    from active
    where end_slot is not null
    group by series_id, slot
),

runs as (
    select
        segments.*,
        sum(if(is_new, 1, 0)) over (partition by series_id order by slot) as run
    from (
        select
            segments.*,
            coalesce(
                lag(rank) over earlier <> rank or lag(end_slot) over earlier <> slot,
                true
            ) as is_new
        from segments
        window earlier as (partition by series_id order by slot)
    ) as segments
),

missing as (
    select
        series_id,
        rank,
        min(slot) as first_slot,
        max(end_slot) as end_slot
    from runs
    where rank > 0
    group by series_id, rank, run
),

known as (
    select
        missing.series_id,
        missing.first_slot,
        string_agg(distinct facts.evidence, '; ') as evidence
    from missing
    inner join facts
        on facts.series_id = missing.series_id
        and least(facts.rank, 12) = missing.rank
        and facts.first_slot < missing.end_slot
        and facts.end_slot > missing.first_slot
    group by missing.series_id, missing.first_slot
)

select
    candles.venue,
    candles.instrument,
    candles.timeframe,
    lake_slot_open(missing.first_slot, candles.step, candles.anchor) as gap_start,
    lake_slot_open(missing.end_slot, candles.step, candles.anchor) as gap_end,
    missing.end_slot - missing.first_slot as missing_count,
    [
        'expired',
        'in_quarantine',
        'before_listing',
        'after_delisting',
        'lost_by_source',
        'venue_outage',
        'no_trades',
        'venue_has_none',
        'failed',
        'beyond_source',
        'provisional',
        'not_fetched'
    ][missing.rank] as reason,
    coalesce(known.evidence, 'never asked for') as evidence
from missing
inner join candles on candles.series_id = missing.series_id
left join known
    on known.series_id = missing.series_id
    and known.first_slot = missing.first_slot
order by candles.venue, candles.instrument, candles.timeframe, gap_start;
