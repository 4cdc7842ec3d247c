-- view: gaps
-- version: 1
-- dialect: duckdb
-- reads: lake.series, lake.partitions, lake.coverage, lake.quarantine, lake.failed_ranges,
--      lake.beyond_source, lake.ingestion_jobs: no Parquet file is opened
-- returns: one row a maximal run of missing candles of one reason, half-open, UTC; the same as
--      `lake gaps` says of candles (for trades, books and funding ask that command)
-- why: a sweep over the ends of all ranges takes time linear in their number. The reasons are
--      numbered, the most telling first; 0 is held, 10 that nobody ever asked
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
        if(coverage.source = 'derived', 5, 6) as rank,
        lake_slot(coverage.start_ts, candles.step, candles.anchor) as first_slot,
        lake_slot(coverage.end_ts, candles.step, candles.anchor) as end_slot,
        concat(
            coverage.source,
            if(coverage.source = coverage.basis, '', ' ' || coverage.basis),
            ' of ',
            strftime(make_timestamp(coverage.confirmed_at), '%Y-%m-%d'),
            if(coverage.evidence = '', '', ', ' || coverage.evidence)
        ) as evidence
    from lake.coverage as coverage
    inner join candles on candles.series_id = coverage.series_id
    where coverage.basis in ('answer', 'archive')

    union all

    select
        candles.series_id,
        7 as rank,
        lake_slot(failed.start_ts, candles.step, candles.anchor) as first_slot,
        lake_slot(failed.end_ts, candles.step, candles.anchor) as end_slot,
        failed.error as evidence
    from lake.failed_ranges as failed
    inner join candles on candles.series_id = failed.series_id

    union all

    select
        candles.series_id,
        8 as rank,
        lake_slot(beyond.start_ts, candles.step, candles.anchor) as first_slot,
        lake_slot(beyond.end_ts, candles.step, candles.anchor) as end_slot,
        beyond.why as evidence
    from lake.beyond_source as beyond
    inner join candles on candles.series_id = beyond.series_id

    union all

    select
        candles.series_id,
        9 as rank,
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
        10 as rank,
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
            range(11),
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
        unnest(range(11)) as rank,
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
        min(rank) filter (depth > 0) as rank
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

held as (
    select
        series_id,
        slot as first_slot,
        end_slot
    from segments
    where rank = 0
),

promised as (
    select
        missing.series_id,
        missing.first_slot,
        facts.series_id as peer_id,
        sum(
            least(missing.end_slot, facts.end_slot) - greatest(missing.first_slot, facts.first_slot)
        ) as slots
    from missing
    inner join candles as ours on ours.series_id = missing.series_id
    inner join candles as peers
        on peers.venue = ours.venue
        and peers.timeframe = ours.timeframe
        and peers.series_id <> ours.series_id
    inner join facts
        on facts.series_id = peers.series_id
        and facts.rank in (5, 6)
        and facts.first_slot < missing.end_slot
        and facts.end_slot > missing.first_slot
    where missing.rank = 6
    group by missing.series_id, missing.first_slot, facts.series_id
),

outages as (
    select
        missing.series_id,
        missing.first_slot,
        count(*) as peers
    from missing
    inner join promised
        on promised.series_id = missing.series_id
        and promised.first_slot = missing.first_slot
        and promised.slots = missing.end_slot - missing.first_slot
    left join (
        select distinct
            promised.series_id,
            promised.first_slot,
            promised.peer_id
        from promised
        inner join missing
            on missing.series_id = promised.series_id
            and missing.first_slot = promised.first_slot
        inner join held
            on held.series_id = promised.peer_id
            and held.first_slot < missing.end_slot
            and held.end_slot > missing.first_slot
    ) as traded
        on traded.series_id = missing.series_id
        and traded.first_slot = missing.first_slot
        and traded.peer_id = promised.peer_id
    where missing.rank = 6
    group by missing.series_id, missing.first_slot
    having count(traded.peer_id) = 0
),

known as (
    select
        missing.series_id,
        missing.first_slot,
        string_agg(distinct facts.evidence, '; ') as evidence
    from missing
    inner join facts
        on facts.series_id = missing.series_id
        and facts.rank = missing.rank
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
    if(
        outages.peers is not null,
        'venue_outage',
        [
            'expired',
            'in_quarantine',
            'before_listing',
            'after_delisting',
            'no_trades',
            'venue_has_none',
            'failed',
            'beyond_source',
            'provisional',
            'not_fetched'
        ][missing.rank]
    ) as reason,
    concat(
        coalesce(known.evidence, 'never asked for'),
        '; absent from all ' || (outages.peers + 1) || ' instruments held'
    ) as evidence
from missing
inner join candles on candles.series_id = missing.series_id
left join known
    on known.series_id = missing.series_id
    and known.first_slot = missing.first_slot
left join outages
    on outages.series_id = missing.series_id
    and outages.first_slot = missing.first_slot
order by candles.venue, candles.instrument, candles.timeframe, gap_start;
