-- report: charted
-- version: 1
-- dialect: duckdb
-- reads: listed (the gaps that the page carries), chosen
-- parameters: $attention, $not_expected (varchar[]): reasons; $per_series, $serious, $others (integer)
-- returns: the gaps of which the page draws the candles around, the most serious first: those that
--      ask for something to be done before those that are explained, and of each the longest
with candidates as (
    select
        listed.gap,
        listed.number,
        listed.gap_start,
        listed.gap_end,
        listed.missing_count,
        list_contains($attention::varchar[], listed.reason) as is_serious
    from listed
    inner join chosen on chosen.number = listed.number
    where chosen.data_type = 'ohlcv'
        and not list_contains($not_expected::varchar[], listed.reason)
),

fair as (
    select
        candidates.*,
        row_number() over (
            partition by number, is_serious
            order by missing_count desc, gap
        ) as of_series
    from candidates
),

placed as (
    select
        fair.*,
        row_number() over (
            partition by is_serious
            order by missing_count desc, gap_end - gap_start desc, gap
        ) as place
    from fair
    where of_series <= $per_series
)

select
    gap,
    number,
    gap_start,
    gap_end,
    missing_count
from placed
where place <= if(is_serious, $serious, $others)
order by is_serious desc, place;
