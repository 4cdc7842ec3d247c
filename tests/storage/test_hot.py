"""hot.sqlite: the newest rows, the same as in the files or none at all, whatever happens."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import polars as pl
import pyarrow as pa
import pytest
from storage_kit import HOURLY, SLICED, begin, candles, hour, hours, random_rows, store

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import Partition
from lake.domain.schemas import ROW_SPECS
from lake.domain.times import to_us
from lake.storage.hot import HOT
from lake.storage.lake import Storage
from lake.storage.points import HOT_POINTS
from lake.storage.tail import newest_rows
from lake.store.newest import frame_of

BTC = InstrumentId("BTCUSDT", Venue("BINANCE"))
FEBRUARY = Partition(HOURLY, 2024, 2)
SERIES = [HOURLY, *(Series(each, BTC) for each in DataType if each is not DataType.OHLCV)]


def closes_of(storage: Storage, limit: int, series: Series = HOURLY) -> list[float] | None:
    """Closing prices from hot, ascending; None where it has no answer."""
    rows = storage.hot.newest(series, limit)
    return None if rows is None else [row[4] for row in reversed(rows)]


@pytest.fixture
def storage(tmp_path: Path) -> Any:
    with Storage.open(tmp_path / "data", create=True) as opened:
        yield opened


def test_what_was_committed_is_there_at_once(storage: Storage) -> None:
    lease = begin(storage)

    store(storage, lease, candles({0: 10.0, 1: 11.0}))
    store(storage, lease, candles({2: 12.0}))

    assert closes_of(storage, 2) == [11.0, 12.0]
    assert storage.hot.is_current(HOURLY)


def test_a_series_that_is_wholly_there_answers_any_limit(storage: Storage) -> None:
    store(storage, begin(storage), candles({0: 10.0, 1: 11.0}))

    assert closes_of(storage, 5_000) == [10.0, 11.0]


def test_more_rows_than_are_kept_are_not_answered(storage: Storage) -> None:
    """A short answer would look like a short history."""
    storage.hot.keep(10)
    store(storage, begin(storage), candles(range(30)))

    assert storage.hot.newest(HOURLY, 11) is None
    assert closes_of(storage, 10) is not None


def test_a_live_feed_moves_the_window_on(storage: Storage) -> None:
    """Candle by candle, over the end of a month, only the newest are kept."""
    storage.hot.keep(5)
    lease = begin(storage)
    store(storage, lease, candles({number: float(number) for number in range(735, 742)}))

    for number in range(742, 752):
        month = Partition.of(HOURLY, hour(number))
        store(storage, lease, candles({number: float(number)}), partition=month)

        assert closes_of(storage, 5) == [float(each) for each in range(number - 4, number + 1)]
    assert storage.hot.newest(HOURLY, 6) is None


def test_a_corrected_row_is_never_told_as_it_was(storage: Storage) -> None:
    lease = begin(storage)
    store(storage, lease, candles({0: 10.0, 1: 11.0, 2: 12.0}))

    store(storage, lease, candles({1: 99.0}))

    assert closes_of(storage, 3) in (None, [10.0, 99.0, 12.0])
    assert storage.hot.refresh(HOURLY)
    assert closes_of(storage, 3) == [10.0, 99.0, 12.0]


def test_older_history_leaves_the_newest_rows_alone(storage: Storage) -> None:
    storage.hot.keep(3)
    lease = begin(storage)
    store(storage, lease, candles(range(760, 780), close=7.0), partition=FEBRUARY)

    store(storage, lease, candles(range(10), close=1.0))

    assert closes_of(storage, 3) == [7.0, 7.0, 7.0]


def test_older_history_ends_that_a_series_is_wholly_there(storage: Storage) -> None:
    lease = begin(storage)
    store(storage, lease, candles(range(760, 763), close=7.0), partition=FEBRUARY)

    store(storage, lease, candles(range(2), close=1.0))

    assert closes_of(storage, 5) in (None, [1.0, 1.0, 7.0, 7.0, 7.0])
    storage.hot.refresh(HOURLY)
    assert closes_of(storage, 5) == [1.0, 1.0, 7.0, 7.0, 7.0]


def test_a_range_is_answered_only_where_all_of_it_is_kept(storage: Storage) -> None:
    storage.hot.keep(10)
    store(storage, begin(storage), candles({number: float(number) for number in range(30)}))

    def opens(first: int, end: int, limit: int = 10) -> list[int] | None:
        rows = storage.hot.newest(HOURLY, limit, to_us(hour(first)), to_us(hour(end)))
        return None if rows is None else [int(row[4]) for row in reversed(rows)]

    assert opens(22, 25) == [22, 23, 24]
    assert opens(0, 28, 3) == [25, 26, 27]
    assert opens(15, 22) is None


@pytest.mark.parametrize("sliced", [False, True], ids=["whole", "sliced"])
@pytest.mark.parametrize("series", SERIES, ids=lambda each: each.data_type.value)
@pytest.mark.parametrize("seed", range(3))
def test_hot_says_what_the_files_say_or_nothing(
    tmp_path: Path, series: Series, seed: int, sliced: bool
) -> None:
    """Rows of every type with nulls, ties and lists, merged and replaced in random order."""
    rng = random.Random(seed)
    spec = ROW_SPECS[series.data_type]
    sizes = {"sizes": SLICED} if sliced else {}
    answered = 0
    with Storage.open(tmp_path / "data", create=True, **sizes) as storage:
        storage.hot.keep(12)
        storage.catalog.ensure_series(series, "venue")
        job = storage.jobs.create(series, hours(0, 8_784))
        lease = storage.jobs.claim(job.job_id, "test")
        for _ in range(14):
            rows = random_rows(rng, spec, rng.randrange(1, 9), spread=60)
            if series is HOURLY:
                page = candles(sorted({rng.randrange(60) for _ in range(5)}), close=rng.random())
            else:
                page = pa.Table.from_pylist(rows, schema=spec.schema)
            days: dict[Partition, list[int]] = {}
            for place, moment in enumerate(page["ts"].to_pylist()):
                days.setdefault(Partition.of(series, moment), []).append(place)
            for partition, places in days.items():
                store(storage, lease, page.take(places), partition=partition)
            if rng.random() < 0.3:
                assert storage.hot.refresh(series)
            limit = rng.randrange(1, 16)

            told = storage.hot.newest(series, limit)

            if told is not None:
                answered += 1
                truth = newest_rows(storage, series, limit)
                assert truth is not None
                assert frame_of(series.data_type, told).equals(pl.from_arrow(truth.rows))
    assert answered


def test_another_process_that_goes_on_is_noticed(tmp_path: Path) -> None:
    """Its commits are in the catalog; whether they are in hot yet does not matter."""
    root = tmp_path / "data"
    with Storage.open(root, create=True) as engine:
        store(engine, begin(engine), candles({0: 10.0}))
        assert closes_of(engine, 1) == [10.0]

        run_writer(tmp_path, root, [[0, 1, 50.0], [1, 1, 51.0]], refresh=False)

        assert closes_of(engine, 2) in (None, [50.0, 51.0])
        engine.hot.refresh(HOURLY)
        assert closes_of(engine, 2) == [50.0, 51.0]


def test_a_retired_file_takes_its_rows_with_it(storage: Storage) -> None:
    lease = begin(storage)
    store(storage, lease, candles({0: 10.0}))
    with storage.database.writing() as transaction:
        transaction.run("delete from partitions")

    assert storage.hot.newest(HOURLY, 1) is None


def test_it_can_be_made_again_at_will(tmp_path: Path) -> None:
    root = tmp_path / "data"
    with Storage.open(root, create=True) as storage:
        store(storage, begin(storage), candles({0: 10.0, 1: 11.0}))
    for path in root.glob(f"{HOT}*"):
        path.unlink()

    with Storage.open(root) as storage:
        assert closes_of(storage, 1) is None
        assert storage.hot.rebuild() == 1
        assert closes_of(storage, 1) == [11.0]


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, "older"], ids=str)
def test_a_file_that_is_no_use_is_made_again(tmp_path: Path, content: bytes | str) -> None:
    """It never keeps a lake from opening, nor a commit from being made."""
    root = tmp_path / "data"
    with Storage.open(root, create=True):
        pass
    if isinstance(content, bytes):
        (root / HOT).write_bytes(content)
    else:
        connection = apsw.Connection(str(root / HOT))
        connection.execute("create table ohlcv_data (other); pragma user_version = 99")
        connection.close()

    with Storage.open(root) as storage:
        store(storage, begin(storage), candles({0: 10.0}))

        assert closes_of(storage, 1) == [10.0]


def test_a_lake_that_cannot_be_written_is_read_from_the_files(tmp_path: Path) -> None:
    root = tmp_path / "data"
    with Storage.open(root, create=True) as storage:
        store(storage, begin(storage), candles({0: 10.0}))

    with Storage.open(root, read_only=True) as storage:
        assert closes_of(storage, 1) in (None, [10.0])
        assert storage.hot.refresh(HOURLY) is False


def run_writer(folder: Path, root: Path, pages: list[Any], *, refresh: bool, kill: str = "") -> int:
    """How many commits of a writer were acknowledged; it may be killed at a point."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    order = {"root": str(root), "log": str(log), "pages": pages, "refresh": refresh}
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        **({"LAKE_TEST_KILL_AT": kill} if kill else {}),
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("hot_writer.py")), json.dumps(order)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (-9 if kill else 0), done.stderr
    return log.stat().st_size


_KILLS = [
    (point, count, refresh)
    for point in ("publish.renamed", "publish.recorded", "publish.committed", *HOT_POINTS)
    for count in (1, 2, 4)
    for refresh in (False, True)
    # Commits in quick succession do not each write the newest rows; a refresh does.
    if refresh or count == 1 or point not in HOT_POINTS
]


def kills(tmp_path: Path, chosen: list[tuple[str, int, bool]], seed: int) -> None:
    """An engine that is open meanwhile, and one that opens later, are told the acknowledged
    state, or the next one, or nothing."""
    rng = random.Random(seed)
    for number, (point, count, refresh) in enumerate(chosen):
        root = tmp_path / f"lake-{number}"
        pages = [[rng.randrange(20), rng.randrange(1, 6), float(each)] for each in range(1, 6)]
        states: list[dict[int, float]] = [{}]
        for first, length, close in pages:
            states.append(states[-1] | dict.fromkeys(range(first, first + length), close))
        with Storage.open(root, create=True) as engine:
            engine.hot.keep(6)

            done = run_writer(tmp_path, root, pages, refresh=refresh, kill=f"{point}:{count}")

            newest = [[state[each] for each in sorted(state)][-4:] for state in states]
            allowed = [None, *newest[done : done + 2]]
            assert closes_of(engine, 4) in allowed, (point, count, refresh)
        with Storage.open(root) as engine:
            assert closes_of(engine, 4) in allowed, (point, count, refresh)
            engine.hot.refresh(HOURLY)
            assert closes_of(engine, 4) in newest[done : done + 2]


def test_a_writer_killed_between_the_steps_leaves_no_wrong_row(tmp_path: Path) -> None:
    kills(tmp_path, random.Random(5).sample(_KILLS, 8), seed=1)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(3))
def test_a_writer_killed_at_every_step_leaves_no_wrong_row(tmp_path: Path, seed: int) -> None:
    kills(tmp_path, _KILLS, seed)


def test_a_commit_stands_whatever_happens_to_the_hot_rows(tmp_path: Path) -> None:
    """Here a folder lies where the file should be: there is no hot.sqlite at all."""
    root = tmp_path / "data"
    with Storage.open(root, create=True):
        (root / HOT).mkdir()

    with Storage.open(root) as storage:
        done = store(storage, begin(storage), candles({0: 10.0}))

        assert done.rows_added == 1
        assert storage.hot.newest(HOURLY, 1) is None
        assert storage.hot.refresh(HOURLY) is False
        truth = newest_rows(storage, HOURLY, 1)
        assert truth is not None
        assert truth.rows["close"].to_pylist() == [10.0]
