-- report: check_runs
-- version: 1
-- dialect: duckdb
-- reads: catalog.check_runs
-- parameters: $runs (integer): how many runs of each check
-- returns: the last runs of each check over the same part of the lake as its very last one, oldest
--      first; the checks that found most come first
-- why: a run over one venue says nothing about the trend of the whole lake
with runs as (
    select
        check_runs.*,
        last_value(scope) over whole as last_scope,
        last_value(violations) over whole as last_violations,
        last_value(status) over whole as last_status,
        last_value(run_id) over whole as last_run
    from catalog.check_runs as check_runs
    window whole as (
        partition by name
        order by started_at, run_id
        rows between unbounded preceding and unbounded following
    )
),

numbered as (
    select
        runs.*,
        row_number() over (partition by name order by started_at desc, run_id desc) as age
    from runs
    where scope = last_scope
)

select
    run_id,
    name,
    version,
    severity,
    scope,
    status,
    violations,
    kept,
    error,
    run_id = last_run as is_last,
    make_timestamp(started_at) as started_at,
    (finished_at - started_at) / 1000000 as seconds
from numbered
where age <= $runs
order by last_status = 'passed', last_violations desc, name, started_at, run_id;
