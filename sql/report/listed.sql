-- report: listed
-- version: 1
-- dialect: duckdb
-- reads: found (all gaps)
-- parameters: $attention (varchar[]): reasons that come first; $per_month, $most (integer)
-- returns: the gaps that the page carries: the longest of each series and month, those that ask for
--      something to be done first, and never more than $most; by series and time
-- why: a lake may have a hundred thousand gaps, and a page must stay small enough to mail
with months as (
    select
        found.*,
        list_contains($attention::varchar[], reason) as is_serious,
        unnest(
            generate_series(
                date_trunc('month', gap_start),
                gap_end - interval 1 microsecond,
                interval 1 month
            )
        ) as month
    from found
),

ranked as (
    select
        gap,
        is_serious,
        gap_end - gap_start as length,
        row_number() over (
            partition by number, month
            order by is_serious desc, gap_end - gap_start desc, gap
        ) as place
    from months
),

kept as (
    select
        gap,
        any_value(is_serious) as is_serious,
        any_value(length) as length,
        min(place) as place
    from ranked
    where place <= $per_month
    group by gap
    order by place, is_serious desc, length desc, gap
    limit $most
)

select
    found.gap,
    found.number,
    found.gap_start,
    found.gap_end,
    found.missing_count,
    found.reason,
    found.evidence
from found
inner join kept on kept.gap = found.gap
order by found.number, found.gap_start;
