-- view: jobs
-- version: 1
-- dialect: duckdb
-- reads: lake.ingestion_jobs, lake.series (one state of the catalog)
-- returns: one row a job, newest last; times UTC
create or replace view jobs as
select
    jobs.job_id,
    jobs.kind,
    series.venue,
    series.instrument,
    series.data_type,
    series.timeframe,
    make_timestamp(jobs.start_time) as start_time,
    make_timestamp(jobs.end_time) as end_time,
    jobs.status,
    jobs.progress,
    jobs.rows,
    jobs.attempts,
    jobs.error,
    jobs.cancel_requested = 1 as cancel_requested,
    make_timestamp(jobs.created_at) as created_at,
    make_timestamp(jobs.started_at) as started_at,
    make_timestamp(jobs.finished_at) as finished_at
from lake.ingestion_jobs as jobs
inner join lake.series as series on jobs.series_id = series.series_id
order by jobs.created_at, jobs.job_id;
