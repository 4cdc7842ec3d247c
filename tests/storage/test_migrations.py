"""Migrations: numbered, all or nothing, and never without a copy of what was there."""

from __future__ import annotations

from pathlib import Path

import pytest
from storage_kit import HOURLY, Clock

from lake.errors import StorageError
from lake.sql_files import SqlFile, sql_files
from lake.storage import migrations
from lake.storage.catalog import Catalog
from lake.storage.connection import Access, Database
from lake.storage.lake import Storage

_SHIPPED = [(each.name,) for each in sql_files("migrations")]
_LAST = len(_SHIPPED)
_NEXT = f"{_LAST + 1:04}"
_SECOND = SqlFile(f"{_NEXT}_more", "create table more (a integer) strict;", {"since": "0.2.0"})
_BROKEN = SqlFile(
    f"{_NEXT}_broken", "create table more (a integer); create nonsense;", {"since": "9"}
)


def shipped(*more: SqlFile) -> tuple[SqlFile, ...]:
    return (*sql_files("migrations"), *more)


def test_a_migration_copies_the_catalog_first(storage: Storage, clock: Clock) -> None:
    storage.catalog.ensure_series(HOURLY, "venue")

    done = migrations.migrate(storage.database, now=clock.now, known=shipped(_SECOND))
    again = migrations.migrate(storage.database, now=clock.now, known=shipped(_SECOND))

    assert done.applied == (_SECOND.name,)
    assert done.backup == storage.root / f"catalog.sqlite.after-{_LAST:04}.backup"
    assert storage.database.read("select * from more") == []
    assert (again.applied, again.backup) == ((), None)
    copy = Database(done.backup, Access.READ)
    assert copy.read("select count(*) from series") == [(1,)]
    assert copy.read("select name from migrations") == _SHIPPED
    copy.close()


def test_a_migration_that_fails_leaves_the_catalog_as_it_was(
    storage: Storage, clock: Clock
) -> None:
    """Half a schema would be worse than an old one."""
    with pytest.raises(StorageError, match="nonsense"):
        migrations.migrate(storage.database, now=clock.now, known=shipped(_BROKEN))

    assert storage.database.read("select name from migrations") == _SHIPPED
    assert storage.database.read("select 1 from sqlite_schema where name = 'more'") == []


def test_a_catalog_of_the_first_version_is_brought_up_to_date(tmp_path: Path, clock: Clock) -> None:
    """Its series keep all that was known of them; candles have no variant."""
    database = Database(tmp_path / "catalog.sqlite", Access.WRITE)
    migrations.migrate(database, now=clock.now, known=sql_files("migrations")[:1])
    with database.writing() as transaction:
        transaction.run(
            "insert into series values (1, 'ohlcv', 'BINANCE', 'BTCUSDT', '1h', 'venue', "
            "null, null, null, null, null, 0)"
        )

    done = migrations.migrate(database, now=clock.now)

    assert done.applied == tuple(name for (name,) in _SHIPPED[1:])
    [held] = Catalog(database, clock).series()
    assert (held.series, held.origin, held.variant) == (HOURLY, "venue", None)
    database.close()


def test_every_table_is_strict(storage: Storage) -> None:
    """A text in a column of integers would be found by a reader, years later."""
    lax = storage.database.read(
        "select name from pragma_table_list where schema = 'main' and type = 'table' "
        "and strict = 0 and name not like 'sqlite_%'"
    )

    assert lax == []


def test_the_catalog_has_the_tables_of_the_design(storage: Storage, tmp_path: Path) -> None:
    """DESIGN, section 4, names them; SQL of users relies on them."""
    names = {row[0] for row in storage.database.read("select name from pragma_table_list")}

    assert names >= {
        "venues",
        "instruments",
        "listings",
        "series",
        "partitions",
        "coverage",
        "ingestion_jobs",
        "intents",
        "quarantine",
        "notes",
        "revisions",
        "check_runs",
        "check_results",
        "snapshots",
    }
