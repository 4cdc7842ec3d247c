-- report: series
-- version: 1
-- dialect: duckdb
-- reads: partitions, coverage, chosen, found (the frame of all gaps of the chosen series)
-- returns: one row a chosen series: what is held and what is not, and the whole range that the page
--      shows of it: files, promises and gaps together. Missing are, as in the view quality, the
--      rows of the gaps but those that nobody expects; null where nobody can count them
with held as (
    select
        chosen.number,
        sum(partitions.rows) as rows,
        count(*) as files,
        sum(partitions.bytes) as bytes,
        min(partitions.min_ts) as first_ts,
        max(partitions.max_ts) as last_ts
    from partitions
    inner join chosen
        on chosen.data_type = partitions.data_type
        and chosen.venue = partitions.venue
        and chosen.instrument = partitions.instrument
        and chosen.timeframe is not distinct from partitions.timeframe
    group by chosen.number
),

promised as (
    select
        chosen.number,
        min(coverage.start_time) as start_time,
        max(coverage.end_time) as end_time
    from coverage
    inner join chosen
        on chosen.data_type = coverage.data_type
        and chosen.venue = coverage.venue
        and chosen.instrument = coverage.instrument
        and chosen.timeframe is not distinct from coverage.timeframe
    group by chosen.number
),

lacking as (
    select
        number,
        min(gap_start) as start_time,
        max(gap_end) as end_time,
        count(*) as gaps,
        sum(missing_count) filter (is_expected) as missing,
        count(*) filter (is_expected and missing_count is null) as uncounted
    from (
        select
            found.*,
            reason not in ('before_listing', 'after_delisting', 'expired') as is_expected
        from found
    ) as found
    group by number
),

told as (
    select
        chosen.number,
        coalesce(held.rows, 0)::bigint as rows,
        coalesce(held.files, 0)::bigint as files,
        coalesce(held.bytes, 0)::bigint as bytes,
        held.first_ts,
        held.last_ts,
        coalesce(lacking.gaps, 0)::bigint as gaps,
        if(lacking.uncounted > 0, null, coalesce(lacking.missing, 0))::bigint as missing,
        least(held.first_ts, promised.start_time, lacking.start_time) as range_start,
        greatest(
            if(
                chosen.timeframe is null,
                held.last_ts + interval 1 microsecond,
                held.last_ts + lake_length(chosen.timeframe)
            ),
            promised.end_time,
            lacking.end_time
        ) as range_end
    from chosen
    left join held on held.number = chosen.number
    left join promised on promised.number = chosen.number
    left join lacking on lacking.number = chosen.number
)

select
    number,
    rows,
    files,
    bytes,
    first_ts,
    last_ts,
    gaps,
    missing,
    range_start,
    range_end,
    rows / nullif(rows + missing, 0) as completeness_ratio
from told
order by number;
