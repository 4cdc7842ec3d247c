-- view: coverage
-- version: 1
-- dialect: duckdb
-- reads: lake.coverage, lake.series (one state of the catalog)
-- returns: one row a covered range: what was asked for and answered, by whom; half-open, UTC
create or replace view coverage as
select
    series.venue,
    series.instrument,
    series.data_type,
    series.timeframe,
    make_timestamp(coverage.start_ts) as start_time,
    make_timestamp(coverage.end_ts) as end_time,
    coverage.basis,
    coverage.source,
    coverage.source_rank,
    coverage.evidence,
    coverage.job_id,
    make_timestamp(coverage.confirmed_at) as confirmed_at
from lake.coverage as coverage
inner join lake.series as series on coverage.series_id = series.series_id
order by all;
