"""Checks that need no rows: ends of promises, early closes, freshness, sources that disagree."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lake.domain.coverage import Basis
from lake.domain.ranges import TimeRange
from lake.domain.rows import Note, SourceTag
from lake.domain.timeframe import TimeFrame
from lake.domain.times import to_us
from lake.storage.lake import Storage
from tests.checks import kit
from tests.checks.kit import END, MINUTE, SEEDS, START, candle_series

HOUR = timedelta(hours=1)
DENSE = [seed for seed in SEEDS if seed % 8 != 3]
"""Markets that have a candle for every minute."""


@pytest.fixture
def lake(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty clean markets, to be damaged."""
    return kit.copy_of(kit.clean_lake(tmp_path_factory), tmp_path / "data")


def test_candles_missing_at_the_ends_of_a_promise_are_found(lake: Path) -> None:
    """Twenty damages: five to ninety minutes go from the beginning or the end.

    At the beginning of all it is told as information: the instrument may have been listed then.
    """
    expected = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        lost = rng.randrange(30, 90) * MINUTE
        is_first = rng.random() < 0.5
        window = TimeRange(START, START + lost) if is_first else TimeRange(END - lost, END)
        path = kit.files_of(lake, candle_series(seed))[0 if is_first else 1]
        kit.damage(path, kit.without(window))
        expected.add((f"C{seed:02d}USDT", is_first))
        if seed in DENSE:
            expected.add((f"C{seed:02d}USDT", window.start, window.end))

    found = kit.violations(lake, "edges")

    assert {(each["instrument"], each["severity"] == "info") for each in found} | {
        place for place in kit.places(found) if int(place[0][1:3]) in DENSE
    } == expected
    assert len(found) == len(SEEDS)


def test_what_is_known_of_the_listing_is_no_edge(lake: Path) -> None:
    """Before the venue's first candle nobody promised any; after it, each is missed."""
    path = kit.files_of(lake, candle_series(0))[0]
    kit.damage(path, kit.without(TimeRange(START, START + HOUR)))
    told = "update series set first_available = ? where instrument = 'C00USDT'"

    kit.catalog(lake, told, [to_us(START + HOUR)])
    exact = kit.violations(lake, "edges")
    kit.catalog(lake, told, [to_us(START + HOUR - 10 * MINUTE)])
    [later] = kit.violations(lake, "edges")

    assert exact == []
    assert (later["rows"], later["severity"]) == (10, "warning")
    assert later["detail"] == "10 candles are missing: the promise begins earlier than the candles"
    assert kit.violations(lake, "edges", since=START + HOUR) == []


def test_a_promise_without_any_candle_is_found(tmp_path: Path) -> None:
    """And one of an import promises nothing."""
    rows = kit.market(0, minutes=60)
    with Storage.open(tmp_path / "data", create=True) as storage:
        for seed, basis in ((0, Basis.ANSWER), (1, Basis.ROWS_ONLY)):
            kit.store(storage, candle_series(seed), rows, basis=basis)
            later = TimeRange(START + 5 * HOUR, START + 6 * HOUR)
            kit.store(storage, candle_series(seed), rows.slice(0, 0), window=later, basis=basis)

    [found] = kit.violations(tmp_path / "data", "edges")

    assert (found["instrument"], found["start_ts"], found["rows"]) == (
        "C00USDT",
        START + 5 * HOUR,
        60,
    )


def test_candles_that_closed_early_are_told_with_the_stop_that_follows(tmp_path: Path) -> None:
    """Twenty stops of a venue, each noted by the source."""
    expected = set()
    with Storage.open(tmp_path / "data", create=True) as storage:
        for seed in SEEDS:
            rng = random.Random(seed)
            last, stop = START + rng.randrange(10, 60) * MINUTE, rng.randrange(1, 90) * MINUTE
            rows = kit.without(TimeRange(last + MINUTE, last + MINUTE + stop))(
                kit.market(4 * seed, minutes=240)
            )
            note = Note(last, "early_close", "closed at 12:34:56.789")
            kit.store(storage, candle_series(seed), rows, notes=[note])
            expected.add((f"C{seed:02d}USDT", last, last + MINUTE + stop))

    found = kit.violations(tmp_path / "data", "early_close")

    assert kit.places(found) == expected
    assert found[0]["detail"].startswith("closed at 12:34:56.789, before its time; no candle from")
    assert kit.violations(tmp_path / "data", "early_close", since=END) == []


def updated_lake(root: Path, *, asked_at: datetime, seeds: range = SEEDS) -> Path:
    """Candles of an hour of two days up to END, asked for at *asked_at*."""
    with Storage.open(root, create=True, clock=lambda: asked_at) as storage:
        for seed in seeds:
            rows = kit.longer(kit.market(4 * seed), TimeFrame.HOUR_1)
            kit.store(storage, candle_series(seed, TimeFrame.HOUR_1), rows)
    return root


def test_series_that_are_not_kept_up_to_date_any_more_are_found(tmp_path: Path) -> None:
    """Twenty series that were asked for until a moment ago; half of them are neglected since."""
    root = updated_lake(tmp_path / "data", asked_at=END + 5 * MINUTE)
    fresh = kit.violations(root, "freshness", now=END + 25 * HOUR)
    stale = kit.violations(root, "freshness", now=END + 27 * HOUR)
    strict = kit.violations(root, "freshness", now=END + 5 * HOUR, hours=1)
    lenient = kit.violations(root, "freshness", now=END + 27 * HOUR, candles=28)

    assert (fresh, lenient) == ([], [])
    assert [each["instrument"] for each in stale] == [f"C{seed:02d}USDT" for seed in SEEDS]
    assert {(each["start_ts"], each["rows"]) for each in stale} == {(END, 27)}
    assert len(strict) == len(SEEDS)
    assert "last asked for at 2024-02-02 12:05:00" in stale[0]["detail"]


def test_what_was_never_current_is_not_stale(tmp_path: Path) -> None:
    """A range of the past that was fetched a year later, and an import of yesterday's rows."""
    past = updated_lake(tmp_path / "past", asked_at=END + timedelta(days=365))
    with Storage.open(tmp_path / "data", create=True, clock=lambda: END) as storage:
        kit.store(storage, candle_series(0), kit.market(0), basis=Basis.ROWS_ONLY, kind="import")

    assert kit.violations(past, "freshness", now=END + timedelta(days=900)) == []
    assert kit.violations(tmp_path / "data", "freshness", now=END + 90 * HOUR) == []


def test_what_is_traded_no_more_is_not_stale(tmp_path: Path) -> None:
    """Delisted, as the venue's list says, or expired."""
    root = updated_lake(tmp_path / "data", asked_at=END, seeds=range(2))
    kit.catalog(
        root,
        "insert into listings (venue, instrument, listed_from, listed_to, evidence) "
        "values ('BINANCE', 'C00USDT', 0, ?, 'test')",
        [to_us(END)],
    )
    kit.catalog(
        root, "update series set instrument = 'C01USDT-240202' where instrument like 'C01%'"
    )

    assert kit.violations(root, "freshness", now=END + timedelta(days=9)) == []


def test_sources_that_disagree_are_found(tmp_path: Path) -> None:
    """Twenty markets of which the archive says something else than the venue's answers did."""
    expected = set()
    with Storage.open(tmp_path / "data", create=True) as storage:
        for seed in SEEDS:
            rng = random.Random(seed)
            rows = kit.market(4 * seed, minutes=240)
            first, count = rng.randrange(200), rng.randrange(1, 9)
            columns = kit.columns_of(rows)
            columns["volume"][first : first + count] *= 2
            others = kit.table_of(columns)
            # The one of higher rank is believed, whichever comes first.
            ranks = (20, 60) if seed % 2 else (60, 20)
            tags = [SourceTag("ccxt", ranks[0]), SourceTag("archive", ranks[1])]
            kit.store(storage, candle_series(seed), rows, tag=tags[0])
            kit.store(storage, candle_series(seed), others, tag=tags[1])
            opened = START + first * MINUTE
            expected.add((f"C{seed:02d}USDT", opened, opened + count * MINUTE))

    found = kit.violations(tmp_path / "data", "archive_against_rest")

    assert kit.places(found) == expected
    kinds = {each["instrument"]: each["detail"].split(":")[0] for each in found}
    assert kinds["C00USDT"] == "another source was not believed"
    assert kinds["C01USDT"] == "other values gave way"
