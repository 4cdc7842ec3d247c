-- check: stuck_jobs
-- version: 1
-- severity: warning
-- reads: catalog
-- reach: series
-- parameters: none
-- returns: one row a job that is called running and whose lease ran out; and one row a range that
--      could not be fetched and that no answer has covered since
-- blind to: a worker that lives and does nothing, and jobs that nobody started
-- why: nobody works on such a job, and what it was to fetch is missing until somebody starts it again
with stuck as (
    select
        series.data_type,
        series.venue,
        series.instrument,
        series.timeframe,
        make_timestamp(jobs.start_time) as start_ts,
        make_timestamp(jobs.end_time) as end_ts,
        concat(
            'the job ', jobs.job_id, ' (', jobs.kind, ') runs no more: its lease ended ',
            strftime(make_timestamp(jobs.lease_until), '%Y-%m-%d %H:%M'),
            '; `lake jobs retry ', jobs.job_id, '` continues it'
        ) as detail
    from lake.ingestion_jobs as jobs
    inner join checked_series as series on jobs.series_id = series.series_id
    where jobs.status = 'running'
        and coalesce(jobs.lease_until, jobs.updated_at) < epoch_us(
            coalesce(
                getvariable('now')::timestamp,
                current_timestamp at time zone 'UTC'
            )
        )
        and jobs.end_time > epoch_us(
            coalesce(getvariable('check_since')::timestamp, timestamp '0001-01-01')
        )
        and jobs.start_time < epoch_us(
            coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01')
        )
),

failed as (
    select
        series.series_id,
        series.data_type,
        series.venue,
        series.instrument,
        series.timeframe,
        make_timestamp(ranges.start_ts) as start_ts,
        make_timestamp(ranges.end_ts) as end_ts,
        ranges.error,
        make_timestamp(ranges.failed_at) as failed_at
    from lake.failed_ranges as ranges
    inner join checked_series as series on ranges.series_id = series.series_id
    where ranges.end_ts > epoch_us(
            coalesce(getvariable('check_since')::timestamp, timestamp '0001-01-01')
        )
        and ranges.start_ts < epoch_us(
            coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01')
        )
),

answered as (
    select
        failed.series_id,
        failed.start_ts,
        sum(
            epoch_us(least(coverage.end_time, failed.end_ts))
            - epoch_us(greatest(coverage.start_time, failed.start_ts))
        ) as width
    from failed
    inner join checked_coverage as coverage
        on failed.series_id = coverage.series_id
        and coverage.basis <> 'rows_only'
        and coverage.start_time < failed.end_ts
        and coverage.end_time > failed.start_ts
    group by failed.series_id, failed.start_ts
),

violations as (
    select data_type, venue, instrument, timeframe, start_ts, end_ts, detail
    from stuck

    union all

    select
        failed.data_type,
        failed.venue,
        failed.instrument,
        failed.timeframe,
        failed.start_ts,
        failed.end_ts,
        concat(
            'could not be fetched on ', strftime(failed.failed_at, '%Y-%m-%d'), ', nor since: ',
            failed.error
        ) as detail
    from failed
    left join answered
        on failed.series_id = answered.series_id
        and failed.start_ts = answered.start_ts
    where coalesce(answered.width, 0) < epoch_us(failed.end_ts) - epoch_us(failed.start_ts)
)

select
    data_type,
    venue,
    instrument,
    timeframe,
    start_ts,
    end_ts,
    null::bigint as rows,
    detail
from violations
order by venue, instrument, timeframe, start_ts, data_type;
