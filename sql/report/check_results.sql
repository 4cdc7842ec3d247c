-- report: check_results
-- version: 1
-- dialect: duckdb
-- reads: catalog.check_results
-- parameters: $run_ids (varchar[]); $most (integer): of each run
-- returns: what those runs found, in the order in which it was found
with results as (
    select
        check_results.*,
        row_number() over (partition by run_id order by position) as place
    from catalog.check_results as check_results
    where list_contains($run_ids::varchar[], run_id)
)

select
    run_id,
    severity,
    data_type,
    venue,
    instrument,
    timeframe,
    make_timestamp(start_ts) as start_time,
    make_timestamp(end_ts) as end_time,
    rows,
    detail
from results
where place <= $most
order by run_id, place;
