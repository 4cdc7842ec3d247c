-- report: months
-- version: 1
-- dialect: duckdb
-- reads: chosen, found (all gaps), spans (the range of each chosen series)
-- parameters: $attention, $not_expected (varchar[]): reasons of gaps; $since (timestamp): no month
--      before this one
-- returns: one row a series and month in which something is expected: the cells of the heat map.
--      Counted are candles; of other data types, minutes, since their rows cannot be counted
-- why: a gap may be longer than a month, so gaps are cut at months before they are added up
with grids as (
    select
        number,
        if(timeframe is null, 60000000, lake_step(timeframe)) as step,
        if(timeframe is null, 0, lake_anchor(timeframe, venue)) as anchor
    from chosen
),

months as (
    select
        number,
        range_start,
        range_end,
        unnest(
            generate_series(
                greatest(date_trunc('month', range_start), $since),
                range_end - interval 1 microsecond,
                interval 1 month
            )
        ) as month
    from spans
    where range_start is not null
),

wanted as (
    select
        months.number,
        months.month,
        lake_slot(
            epoch_us(least(months.range_end, months.month + interval 1 month)),
            grids.step,
            grids.anchor
        )
        - lake_slot(
            epoch_us(greatest(months.range_start, months.month)),
            grids.step,
            grids.anchor
        ) as expected
    from months
    inner join grids on grids.number = months.number
),

cuts as (
    select
        number,
        gap_start,
        gap_end,
        reason,
        unnest(
            generate_series(
                greatest(date_trunc('month', gap_start), $since),
                gap_end - interval 1 microsecond,
                interval 1 month
            )
        ) as month
    from found
),

absent as (
    select
        cuts.number,
        cuts.month,
        cuts.reason,
        lake_slot(
            epoch_us(least(cuts.gap_end, cuts.month + interval 1 month)),
            grids.step,
            grids.anchor
        )
        - lake_slot(
            epoch_us(greatest(cuts.gap_start, cuts.month)),
            grids.step,
            grids.anchor
        ) as slots
    from cuts
    inner join grids on grids.number = cuts.number
),

lacking as (
    select
        number,
        month,
        count(*) as gaps,
        sum(slots) filter (list_contains($attention::varchar[], reason)) as attention,
        sum(slots) filter (list_contains($not_expected::varchar[], reason)) as not_expected,
        sum(slots) as slots
    from absent
    group by number, month
),

cells as (
    select
        wanted.number,
        year(wanted.month) * 12 + month(wanted.month) - 1 as month,
        wanted.expected,
        coalesce(lacking.attention, 0)::bigint as attention,
        coalesce(lacking.not_expected, 0)::bigint as not_expected,
        coalesce(lacking.slots, 0)::bigint as absent,
        coalesce(lacking.gaps, 0)::bigint as gaps
    from wanted
    left join lacking
        on lacking.number = wanted.number
        and lacking.month = wanted.month
    where wanted.expected > 0
)

select
    number,
    month,
    expected,
    attention,
    absent - attention - not_expected as explained,
    not_expected,
    gaps
from cells
order by number, month;
