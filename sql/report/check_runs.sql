-- report: check_runs
-- version: 1
-- dialect: duckdb
-- reads: catalog.check_runs, catalog.check_results
-- parameters: $runs (integer): how many runs of each check
-- returns: the last runs of each check over the same part of the lake as its very last one, oldest
--      first; errors, warnings and infos are of what is kept of a run. The worst checks come first
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

kept as (
    select
        run_id,
        count(*) filter (severity = 'error') as errors,
        count(*) filter (severity = 'warning') as warnings,
        count(*) filter (severity = 'info') as infos
    from catalog.check_results
    group by run_id
),

numbered as (
    select
        runs.*,
        row_number() over (partition by name order by started_at desc, run_id desc) as age
    from runs
    where scope = last_scope
),

told as (
    select
        numbered.*,
        coalesce(kept.errors, 0) as errors,
        coalesce(kept.warnings, 0) as warnings,
        coalesce(kept.infos, 0) as infos,
        max(coalesce(kept.errors, 0)) filter (numbered.run_id = last_run) over of_check as last_errors
    from numbered
    left join kept on kept.run_id = numbered.run_id
    where age <= $runs
    window of_check as (partition by numbered.name)
)

select
    run_id,
    name,
    version,
    severity,
    scope,
    status,
    violations,
    errors,
    warnings,
    infos,
    error,
    run_id = last_run as is_last,
    make_timestamp(started_at) as started_at,
    (finished_at - started_at) / 1000000 as seconds
from told
order by
    list_position(['failed', 'violated', 'passed'], last_status),
    last_errors desc,
    last_violations desc,
    name,
    started_at,
    run_id;
