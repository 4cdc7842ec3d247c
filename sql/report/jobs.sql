-- report: jobs
-- version: 1
-- dialect: duckdb
-- reads: jobs, chosen
-- parameters: $unfinished, $failed, $others (integer): how many of each at most
-- returns: the newest jobs of the chosen series, by state and age; of_state counts all of that state
with known as (
    select
        jobs.*,
        coalesce(jobs.finished_at, jobs.started_at, jobs.created_at) as moment
    from jobs
    inner join chosen
        on chosen.data_type = jobs.data_type
        and chosen.venue = jobs.venue
        and chosen.instrument = jobs.instrument
        and chosen.timeframe is not distinct from jobs.timeframe
),

placed as (
    select
        known.*,
        count(*) over (partition by status) as of_state,
        row_number() over (partition by status order by moment desc, job_id) as place,
        case status
            when 'running' then $unfinished
            when 'pending' then $unfinished
            when 'failed' then $failed
            else $others
        end as most
    from known
)

select
    job_id,
    kind,
    data_type,
    venue,
    instrument,
    timeframe,
    start_time,
    end_time,
    status,
    progress,
    rows,
    attempts,
    error,
    moment,
    of_state
from placed
where place <= most
order by
    list_position(['running', 'pending', 'failed', 'cancelled', 'completed'], status),
    moment desc,
    job_id;
