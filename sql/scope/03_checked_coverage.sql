-- scope: checked_coverage
-- version: 1
-- dialect: duckdb
-- reads: lake.coverage, lake.series, and the variables check_series, check_since, check_until
-- returns: what was asked for and answered of the series that a check looks at, one row a range
create or replace view checked_coverage as
select
    series.series_id,
    series.data_type,
    series.venue,
    series.instrument,
    series.timeframe,
    make_timestamp(coverage.start_ts) as start_time,
    make_timestamp(coverage.end_ts) as end_time,
    coverage.basis,
    coverage.source,
    coverage.source_rank,
    make_timestamp(coverage.confirmed_at) as confirmed_at,
    coverage.evidence
from lake.coverage as coverage
inner join checked_series as series on coverage.series_id = series.series_id
where coverage.end_ts > epoch_us(coalesce(getvariable('check_since')::timestamp, timestamp '0001-01-01'))
    and coverage.start_ts < epoch_us(coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01'));
