"""The private copy of the catalog that DuckDB may attach, and the ledger of rates."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from storage_kit import HOURLY, Clock, begin, candles, store

from lake.storage import snapshot
from lake.storage.lake import Storage


def series_in(path: Path) -> int:
    """Read by another SQLite, as DuckDB does."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("select count(*) from series").fetchone()[0])


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_MIN_AGE_S", 0.0)


@pytest.mark.usefixtures("eager")
def test_a_snapshot_follows_the_catalog_under_a_new_path(storage: Storage) -> None:
    """A new path says that there is something to attach again; the same, that nothing is new."""
    empty = storage.snapshot()
    same = storage.snapshot()

    storage.catalog.ensure_series(HOURLY, "venue")
    filled = storage.snapshot()

    assert empty == same
    assert filled != empty
    assert (series_in(empty), series_in(filled)) == (0, 1)
    assert not list(filled.parent.glob("*-wal"))


@pytest.mark.usefixtures("eager")
def test_a_snapshot_shows_the_commits_of_other_processes(storage: Storage) -> None:
    before = storage.snapshot()
    with Storage.open(storage.root) as other:
        store(other, begin(other), candles([0]))

    assert series_in(storage.snapshot()) == 1
    assert series_in(before) == 0


def test_snapshots_are_made_at_most_once_a_second(storage: Storage) -> None:
    """A query after every commit must not copy the catalog every time."""
    first = storage.snapshot()
    storage.catalog.ensure_series(HOURLY, "venue")

    began = time.monotonic()
    again = storage.snapshot()

    assert again == first or time.monotonic() - began > 1


@pytest.mark.usefixtures("eager")
def test_old_snapshots_go_and_the_last_goes_with_the_lake(storage: Storage) -> None:
    for number in range(5):
        storage.jobs.list()
        storage.catalog.ensure_series(HOURLY, "venue")
        with storage.database.writing() as transaction:
            transaction.run("update series set created_at = ?", (number,))
        newest = storage.snapshot()
    kept = list(newest.parent.iterdir())

    storage.close()

    assert len(kept) == 2
    assert not newest.parent.exists()


def test_a_ledger_grants_no_more_than_the_ceiling(storage: Storage) -> None:
    """However many ask, in this window; the next starts from nothing."""
    rates = storage.rates

    granted = [rates.take("binance", window=7, want=40, ceiling=100) for _ in range(4)]

    assert granted == [40, 40, 20, 0]
    assert rates.take("binance", window=8, want=40, ceiling=100) == 40
    assert rates.take("binance", window=7, want=40, ceiling=100) == 0
    assert rates.take("bybit", window=7, want=40, ceiling=100) == 40


def test_the_venues_own_count_is_believed_where_it_is_higher(storage: Storage) -> None:
    """What strangers on the same address used is not ours to use; what is under way counts."""
    rates = storage.rates
    rates.take("binance", window=7, want=30, ceiling=100)

    rates.observe("binance", window=7, used=60, answered=10)

    assert rates.take("binance", window=7, want=100, ceiling=100) == 20
    rates.observe("binance", window=7, used=1, answered=40)
    assert rates.take("binance", window=7, want=100, ceiling=100) == 0


def test_a_late_answer_says_nothing_about_the_next_window(storage: Storage) -> None:
    rates = storage.rates
    rates.take("binance", window=7, want=90, ceiling=100)
    rates.take("binance", window=8, want=10, ceiling=100)

    rates.observe("binance", window=7, used=100, answered=90)

    assert rates.take("binance", window=8, want=100, ceiling=100) == 90


def test_two_processes_share_one_ledger(storage: Storage) -> None:
    storage.rates.take("binance", window=7, want=60, ceiling=100)

    with Storage.open(storage.root) as other:
        assert other.rates.take("binance", window=7, want=60, ceiling=100) == 40


def test_the_longest_ban_counts(storage: Storage, clock: Clock) -> None:
    soon, late = clock.now, clock.now.replace(hour=18)
    assert storage.rates.banned_until("binance") is None

    storage.rates.ban("binance", late)
    storage.rates.ban("binance", soon)
    storage.rates.take("binance", window=1, want=1, ceiling=2)

    assert storage.rates.banned_until("binance") == late


def test_a_ledger_spoilt_by_a_power_cut_starts_anew(storage: Storage) -> None:
    """It is an estimate: nobody's backfill may fail for it."""
    (storage.root / "rates.sqlite").write_bytes(b"nonsense" * 1000)

    assert storage.rates.take("binance", window=1, want=5, ceiling=10) == 5
