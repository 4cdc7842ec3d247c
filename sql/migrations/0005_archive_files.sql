-- migration: 0005_archive_files
-- dialect: sqlite
-- since: 0.1.0
-- why: which files of vendors' archives were taken in, and which the vendor does not have
-- A file that is stored is not downloaded and not read again while its digest is the same and the
-- coverage that it gave still stands. A name with another digest is a revised file.

create table archive_files (
    series_id integer not null references series (series_id),
    -- The vendor's own name, without folders.
    name text not null,
    state text not null check (state in ('stored', 'absent', 'refused')),
    -- Where it was downloaded; null for a file that the user brought.
    url text,
    -- What it promises, or else from its first row to the end of its last.
    window_start integer,
    window_end integer,
    promises integer not null default 0 check (promises in (0, 1)),
    rows integer not null default 0,
    bytes integer,
    sha256 text,
    etag text,
    -- Why it was refused.
    reason text,
    checked_at integer not null,
    imported_at integer,
    primary key (series_id, name)
) strict, without rowid;
