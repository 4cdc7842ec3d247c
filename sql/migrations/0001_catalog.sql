-- migration: 0001_catalog
-- dialect: sqlite
-- since: 0.1.0
-- why: the first catalog: what is held, what was asked, what was found wrong, who works on what
-- Every moment is an integer: microseconds since 1970, UTC. Ranges are half-open.
-- Rows of all tables but ingestion_jobs, failed_ranges, revisions and the check tables can be
-- made again from the footers of the Parquet files or from the venue.

create table venues (
    venue text not null primary key,
    markets_fetched_at integer
) strict;

create table instruments (
    venue text not null references venues (venue),
    code text not null,
    symbol text not null,
    native_id text not null,
    kind text not null check (kind in ('spot', 'linear', 'inverse', 'option')),
    base text not null,
    quote text not null,
    settle text,
    tick_size real,
    lot_size real,
    contract_size real,
    active integer not null check (active in (0, 1)),
    updated_at integer not null,
    primary key (venue, code)
) strict;

-- A path must not differ by case alone: some file systems would take both for one.
create unique index instruments_code on instruments (venue, code collate nocase);
create index instruments_symbol on instruments (venue, symbol);
create index instruments_native_id on instruments (venue, native_id);

create table instrument_sizes (
    venue text not null,
    code text not null,
    valid_from integer not null,
    valid_to integer,
    tick_size real,
    lot_size real,
    contract_size real,
    primary key (venue, code, valid_from),
    foreign key (venue, code) references instruments (venue, code)
) strict;

create table listings (
    listing_id integer primary key,
    venue text not null,
    instrument text not null,
    listed_from integer,
    listed_to integer,
    evidence text not null
) strict;

create index listings_instrument on listings (venue, instrument, listed_from);

create table series (
    series_id integer primary key,
    data_type text not null,
    venue text not null,
    instrument text not null,
    timeframe text,
    origin text not null,
    retained_from integer,
    wanted_start integer,
    wanted_end integer,
    first_available integer,
    first_available_evidence text,
    created_at integer not null
) strict;

create unique index series_identity
on series (data_type, venue, instrument, ifnull(timeframe, ''));

create table partitions (
    path text not null primary key,
    series_id integer not null references series (series_id),
    range_start integer not null,
    range_end integer not null,
    rows integer not null,
    min_ts integer,
    max_ts integer,
    bytes integer not null,
    sha256 text not null,
    schema_version integer not null,
    generation integer not null,
    -- JSON: [[start, end], ...], the runs of absent candles between min_ts and max_ts.
    gap_runs text not null,
    missing integer not null,
    job_id text not null,
    written_at integer not null
) strict;

create index partitions_series on partitions (series_id, range_start);

create table coverage (
    series_id integer not null references series (series_id),
    start_ts integer not null,
    end_ts integer not null check (end_ts > start_ts),
    basis text not null check (basis in ('answer', 'archive', 'rows_only')),
    source text not null,
    source_rank integer not null,
    job_id text not null,
    confirmed_at integer not null,
    evidence text not null,
    primary key (series_id, start_ts)
) strict, without rowid;

create table ingestion_jobs (
    job_id text not null primary key,
    series_id integer not null references series (series_id),
    kind text not null,
    start_time integer not null,
    end_time integer not null,
    refetch integer not null check (refetch in (0, 1)),
    status text not null
    check (status in ('pending', 'running', 'completed', 'failed', 'cancelled')),
    cancel_requested integer not null default 0 check (cancel_requested in (0, 1)),
    progress real not null default 0.0,
    rows integer not null default 0,
    attempts integer not null default 0,
    error text,
    token integer not null default 0,
    lease_owner text,
    lease_until integer,
    lease_ttl integer,
    -- JSON: host, boot, pid namespace, pid, start: tells whether the worker still lives.
    lease_process text,
    created_at integer not null,
    updated_at integer not null,
    started_at integer,
    finished_at integer
) strict;

create index ingestion_jobs_status on ingestion_jobs (status, created_at);
create index ingestion_jobs_series on ingestion_jobs (series_id, created_at);

create table intents (
    commit_id text not null primary key,
    job_id text not null,
    token integer not null,
    path text not null,
    temporary text not null,
    generation integer not null,
    created_at integer not null
) strict;

create index intents_job on intents (job_id, token);

create table quarantine (
    series_id integer not null references series (series_id),
    ts integer,
    reason text not null,
    raw text not null,
    job_id text not null,
    seen_at integer not null
) strict;

-- The same row refused again, by a retry or a re-run, is the same fact.
create unique index quarantine_identity
on quarantine (series_id, ifnull(ts, -9223372036854775808), reason, raw);

create table notes (
    series_id integer not null references series (series_id),
    ts integer not null,
    kind text not null,
    text text not null,
    job_id text not null,
    noted_at integer not null,
    primary key (series_id, ts, kind, text)
) strict, without rowid;

create table revisions (
    series_id integer not null references series (series_id),
    ts integer not null,
    key text not null,
    -- Of the file that held old_row. A generation's rows never change, so neither does this row.
    generation integer not null,
    old_row text not null,
    why text not null,
    job_id text not null,
    revised_at integer not null,
    commit_id text not null,
    -- 1 until the commit that replaces the row is published; a commit that fails takes it back.
    pending integer not null check (pending in (0, 1)),
    primary key (series_id, ts, key, generation, commit_id)
) strict, without rowid;

create index revisions_commit on revisions (commit_id) where pending = 1;

create table failed_ranges (
    series_id integer not null references series (series_id),
    start_ts integer not null,
    end_ts integer not null check (end_ts > start_ts),
    job_id text not null,
    error text not null,
    failed_at integer not null,
    primary key (series_id, start_ts)
) strict, without rowid;

-- What was wanted and no source could reach (a venue that keeps 720 candles).
create table beyond_source (
    series_id integer not null references series (series_id),
    start_ts integer not null,
    end_ts integer not null check (end_ts > start_ts),
    why text not null,
    noted_at integer not null,
    primary key (series_id, start_ts)
) strict, without rowid;

create table check_runs (
    run_id text not null primary key,
    name text not null,
    version integer not null,
    sha256 text not null,
    parameters text not null,
    violations integer not null,
    started_at integer not null,
    finished_at integer
) strict;

create index check_runs_name on check_runs (name, started_at);

create table check_results (
    run_id text not null references check_runs (run_id) on delete cascade,
    position integer not null,
    violation text not null,
    primary key (run_id, position)
) strict, without rowid;

create table snapshots (
    name text not null primary key,
    created_at integer not null,
    files integer not null,
    rows integer not null,
    bytes integer not null,
    manifest_sha256 text not null
) strict;
