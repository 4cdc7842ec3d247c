-- migration: 0003_doubts
-- dialect: sqlite
-- since: 0.1.0
-- why: what a lake must be able to doubt later: ends of data, first candles, what was never asked

-- A venue that lags shows what a venue at the end of its data shows. Such claims are given up
-- when later rows turn up; those that were not yet are asked for once more.
create index coverage_endings on coverage (series_id, start_ts)
where evidence = 'answers with other bounds end before it';

delete from coverage
where
    evidence = 'answers with other bounds end before it'
    and start_ts < (
        select max(partitions.max_ts)
        from partitions
        where partitions.series_id = coverage.series_id
    );

-- Who said so: 'venue', or the base URL that answered instead; null for what was learned before.
alter table series add column first_available_source text;
alter table series add column first_available_at integer;

-- What a job wanted and did not ask for, because it was cancelled first.
create table cancelled_ranges (
    series_id integer not null references series (series_id),
    start_ts integer not null,
    end_ts integer not null check (end_ts > start_ts),
    job_id text not null,
    why text not null,
    cancelled_at integer not null,
    primary key (series_id, start_ts)
) strict, without rowid;

-- Rows that changed or went, too many for rows of revisions: one Parquet file below revisions/.
create table revision_files (
    commit_id text not null primary key,
    series_id integer not null references series (series_id),
    -- Relative to the lake.
    path text not null,
    partition_path text not null,
    -- Of the file that held the rows.
    generation integer not null,
    rows integer not null,
    min_ts integer,
    max_ts integer,
    bytes integer not null,
    sha256 text not null,
    why text not null,
    job_id text not null,
    revised_at integer not null,
    -- 1 until the commit that replaces the rows is published; one that fails takes it back.
    pending integer not null check (pending in (0, 1))
) strict;

create index revision_files_series on revision_files (series_id, revised_at);
