-- migration: 0004_removals
-- dialect: sqlite
-- since: 0.1.0
-- why: files that retention has taken out of the catalog and that are still to be unlinked
-- A file named here is no part of the lake any more. Whoever meets it unlinks it: taken in again,
-- it would bring back what was expired.

create table removals (
    -- Relative to the lake.
    path text not null primary key,
    series text not null,
    rows integer not null,
    bytes integer not null,
    why text not null,
    removed_at integer not null
) strict;
