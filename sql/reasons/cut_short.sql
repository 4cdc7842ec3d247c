-- reason: cut_short
-- version: 1
-- dialect: duckdb
-- reads: checked_holes, checked_coverage, checked_partitions: no Parquet file is opened
-- parameters: chance = 0.001: how likely a quiet market may be the whole explanation
-- returns: series_id, start_ts, end_ts, reason, evidence: of files that leave out quiet candles, and
--      begin late or end early: the source lost what chance does not explain
-- why: a market that trades in nearly every minute is not silent for hours because of nobody
with outside as (
    select
        coverage.series_id,
        coverage.venue,
        coverage.timeframe,
        coverage.start_time as start_ts,
        coverage.end_time as end_ts
    from checked_coverage as coverage
    inner join checked_holes as holes
        on holes.series_id = coverage.series_id
        and holes.start_ts = coverage.start_time
        and holes.end_ts = coverage.end_time
    where coverage.evidence = 'the file of that day or month has no rows there'
),

-- The holes at hand say nothing of how the market is as a rule.
habits as (
    select
        partitions.series_id,
        sum(partitions.rows) as rows,
        coalesce(any_value(others.slots), 0) as missing
    from checked_partitions as partitions
    left join (
        select
            holes.series_id,
            sum(
                lake_slot(
                    epoch_us(holes.end_ts),
                    lake_step(holes.timeframe),
                    lake_anchor(holes.timeframe, holes.venue)
                ) - lake_slot(
                    epoch_us(holes.start_ts),
                    lake_step(holes.timeframe),
                    lake_anchor(holes.timeframe, holes.venue)
                )
            ) as slots
        from checked_holes as holes
        anti join outside
            on outside.series_id = holes.series_id
            and outside.start_ts = holes.start_ts
        group by holes.series_id
    ) as others
        on others.series_id = partitions.series_id
    where partitions.data_type = 'ohlcv'
    group by partitions.series_id
),

judged as (
    select
        outside.*,
        lake_slot(
            epoch_us(outside.end_ts),
            lake_step(outside.timeframe),
            lake_anchor(outside.timeframe, outside.venue)
        ) - lake_slot(
            epoch_us(outside.start_ts),
            lake_step(outside.timeframe),
            lake_anchor(outside.timeframe, outside.venue)
        ) as slots,
        habits.rows,
        habits.missing
    from outside
    inner join habits on habits.series_id = outside.series_id
)

select
    series_id,
    start_ts,
    end_ts,
    if(
        ln(rows) + slots * ln((missing + 1) / (rows + missing + 1))
        < ln(coalesce(getvariable('chance')::double, 0.001)),
        'lost_by_source',
        'no_trades'
    ) as reason,
    concat(
        'the file of that day or month has no rows there; as a rule ',
        missing,
        ' of ',
        rows + missing,
        ' candles are missing'
    ) as evidence
from judged
order by series_id, start_ts;
