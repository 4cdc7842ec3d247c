-- migration: 0006_checks
-- dialect: sqlite
-- since: 0.1.0
-- why: what checks found, by series and time, and what rows say about gaps

drop table check_results;
drop table check_runs;

-- One run of one check; those of one command share the batch.
create table check_runs (
    run_id text not null primary key,
    batch_id text not null,
    name text not null,
    version integer not null,
    sha256 text not null,
    severity text not null check (severity in ('error', 'warning', 'info')),
    -- JSON: what was given for the check's parameters.
    parameters text not null,
    -- JSON: what was looked at; {} is the whole lake.
    scope text not null,
    status text not null check (status in ('passed', 'violated', 'failed')),
    -- All of them, and those that are kept in check_results.
    violations integer not null,
    kept integer not null,
    error text,
    started_at integer not null,
    finished_at integer not null
) strict;

create index check_runs_name on check_runs (name, started_at);
create index check_runs_batch on check_runs (batch_id);

create table check_results (
    run_id text not null references check_runs (run_id) on delete cascade,
    position integer not null,
    severity text not null check (severity in ('error', 'warning', 'info')),
    data_type text,
    venue text,
    instrument text,
    timeframe text,
    start_ts integer,
    end_ts integer,
    -- How many rows are concerned.
    rows integer,
    detail text not null,
    primary key (run_id, position)
) strict, without rowid;

-- What the newest run of each check said of each series, all violations counted.
create table check_counts (
    run_id text not null references check_runs (run_id) on delete cascade,
    data_type text,
    venue text,
    instrument text,
    timeframe text,
    violations integer not null,
    -- How many rows are concerned.
    rows integer not null
) strict;

create index check_counts_run on check_counts (run_id);

-- Why rows are missing, as other rows show it: a longer candle, trades, the venue's silence.
create table gap_facts (
    series_id integer not null references series (series_id),
    start_ts integer not null,
    end_ts integer not null check (end_ts > start_ts),
    reason text not null check (reason in ('lost_by_source', 'venue_outage', 'no_trades')),
    evidence text not null,
    found_at integer not null,
    primary key (series_id, start_ts, reason)
) strict, without rowid;

-- Of what the facts above were found: they are looked for again when this differs.
create table gap_facts_state (
    only_row integer not null primary key check (only_row = 1),
    state text not null
) strict;
