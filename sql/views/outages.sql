-- view: outages
-- version: 1
-- dialect: duckdb
-- reads: the view gaps: no Parquet file is opened
-- returns: one row a time in which a venue was down, over all its instruments and timeframes, as the
--      gaps of candles show it
-- why: one stop of a venue is a gap in every series; people ask when it was
create or replace view outages as
with stops as (
    select
        venue,
        instrument,
        timeframe,
        gap_start,
        gap_end,
        missing_count,
        evidence,
        coalesce(
            max(gap_end) over (
                partition by venue
                order by gap_start, gap_end
                rows between unbounded preceding and 1 preceding
            )
            < gap_start,
            true
        ) as is_new
    from gaps
    where reason = 'venue_outage'
),

numbered as (
    select
        stops.*,
        sum(is_new::integer) over (partition by venue order by gap_start, gap_end) as stop
    from stops
)

select
    venue,
    min(gap_start) as start_time,
    max(gap_end) as end_time,
    list_sort(list(distinct instrument)) as instruments,
    list_sort(list(distinct timeframe)) as timeframes,
    sum(missing_count)::bigint as missing_count,
    arg_max(evidence, gap_end - gap_start) as evidence
from numbered
group by venue, stop
order by venue, start_time;
