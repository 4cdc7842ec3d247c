"""Importing Bybit's ob500 archives: what is stored, what is claimed, what is refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from archive_kit import NOW, REAL_DATA, needs_real_data, zip_of

from lake.domain.coverage import Basis
from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.partitions import Partition
from lake.ingestion.imports import FileState, ImportReport, import_files
from lake.storage.lake import Storage

DAY = datetime(2024, 12, 1)
START_MS = int(DAY.replace(tzinfo=UTC).timestamp() * 1000)
BOOKS = Series(DataType.ORDERBOOK, InstrumentId.from_str("XRPUSDT-PERP.BYBIT"))
REAL = REAL_DATA / "bybit_orderbook_archive" / "xrpusdt-ob500.data.zip"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "data", create=True) as opened:
        yield opened


def message(at_ms: int, number: int, *, bid: float = 1.9, symbol: str = "XRPUSDT") -> str:
    """The first is a snapshot, each other sets the bid at 1.8 to its number."""
    kind = "snapshot" if number == 1 else "delta"
    bids = [[str(bid), "5"], ["1.8", str(number)]]
    asks = [["2.0", "7"], ["2.1", "1"]] if number == 1 else []
    data: dict[str, Any] = {"s": symbol, "b": bids, "a": asks, "u": number, "seq": number * 3}
    topic = f"orderbook.500.{symbol}"
    return json.dumps({"topic": topic, "type": kind, "ts": START_MS + at_ms, "data": data})


def archive(folder: Path, *lines: str, symbol: str = "XRPUSDT") -> Path:
    name = f"2024-12-01_{symbol}_ob500.data"
    return zip_of(folder / f"{name}.zip", "\n".join(lines) + "\n", member=name)


def bring(storage: Storage, *paths: Path, **options: Any) -> ImportReport:
    return import_files(storage, paths, now=NOW, **options)


def stored(storage: Storage) -> pa.Table | None:
    return storage.read_partition(Partition.of(BOOKS, DAY))


def refusal(storage: Storage, path: Path, **options: Any) -> str:
    """Why *path* is refused; nothing of it may be stored."""
    [outcome] = bring(storage, path, **options).files
    assert outcome.state is FileState.REFUSED
    assert stored(storage) is None
    assert "\n" not in outcome.reason
    return outcome.reason


def test_books_are_sampled_and_only_the_known_time_is_claimed(
    storage: Storage, tmp_path: Path
) -> None:
    path = archive(tmp_path, *(message(at, n) for n, at in enumerate((100, 600, 1_400, 2_500), 1)))

    report = bring(storage, path)

    assert (report.exit_code, report.rows_added) == (0, 2)
    rows = stored(storage)
    assert rows is not None
    assert [row["ts"] for row in rows.to_pylist()] == [
        DAY + timedelta(seconds=1),
        DAY + timedelta(seconds=2),
    ]
    assert rows["sequence"].to_pylist() == [2, 3]
    assert rows["bid_quantities"].to_pylist() == [[5.0, 2.0], [5.0, 3.0]]
    [coverage] = storage.catalog.coverage(BOOKS)
    assert coverage.basis is Basis.ROWS_ONLY
    assert coverage.range.start == DAY + timedelta(milliseconds=100)
    assert coverage.range.end == DAY + timedelta(milliseconds=2_500)


def test_a_missing_message_is_noted_and_ends_the_claim(storage: Storage, tmp_path: Path) -> None:
    times = (100, 600, 1_400, 2_500, 3_500)
    lines = [message(at, n) for n, at in enumerate(times, 1) if n != 4]

    report = bring(storage, archive(tmp_path, *lines))

    [outcome] = report.files
    assert "update id 5 does not follow 3" in outcome.reason
    [coverage] = storage.catalog.coverage(BOOKS)
    assert coverage.range.end == DAY + timedelta(milliseconds=1_400)
    [note] = storage.catalog.notes(BOOKS)
    assert (note.kind, note.text) == ("book_break", "update id 5 does not follow 3")


def test_a_crossed_book_is_never_stored(storage: Storage, tmp_path: Path) -> None:
    lines = [message(100, 1), message(600, 2), message(1_400, 3, bid=2.05), message(2_500, 4)]

    report = bring(storage, archive(tmp_path, *lines))

    assert [(each.rows, each.rejected) for each in report.files] == [(1, 1)]
    rows = stored(storage)
    assert rows is not None
    assert rows["ts"].to_pylist() == [DAY + timedelta(seconds=1)]


def test_another_depth_does_not_join_the_series(storage: Storage, tmp_path: Path) -> None:
    path = archive(tmp_path, *(message(at, n) for n, at in enumerate((100, 600, 1_400), 1)))
    bring(storage, path, depth=1)

    [outcome] = bring(storage, path, depth=2).files

    assert outcome.state is FileState.REFUSED
    assert "rebuilt/1" in outcome.reason
    rows = stored(storage)
    assert rows is not None
    assert rows["bid_prices"].to_pylist() == [[1.9]]


def test_another_interval_does_not_join_the_series(storage: Storage, tmp_path: Path) -> None:
    """Samples a second and a minute apart in one series would be neither."""
    times = (100, 600, 1_400, 2_500, 130_000, 140_000)
    path = archive(tmp_path, *(message(at, n) for n, at in enumerate(times, 1)))
    bring(storage, path)

    [outcome] = bring(storage, path, every=timedelta(minutes=1)).files

    assert outcome.state is FileState.REFUSED
    assert "rebuilt/20/1s" in outcome.reason


def test_a_file_of_another_day_is_refused(storage: Storage, tmp_path: Path) -> None:
    """The name promises a day; a file that was renamed holds another one."""
    lines = [message(at, n) for n, at in enumerate((100, 600, 1_400, 2_500), 1)]
    name = "2024-12-02_XRPUSDT_ob500.data"
    path = zip_of(tmp_path / f"{name}.zip", "\n".join(lines) + "\n", member=name)

    assert "outside the time that the file's name says" in refusal(storage, path)


def test_a_file_named_for_another_symbol_is_refused(storage: Storage, tmp_path: Path) -> None:
    path = archive(tmp_path, message(100, 1), message(600, 2), symbol="BTCUSDT")

    assert "is named BTCUSDT, and holds XRPUSDT" in refusal(storage, path)


def test_an_unpacked_archive_is_read(storage: Storage, tmp_path: Path) -> None:
    """It begins as an error message in JSON would."""
    lines = [message(at, n) for n, at in enumerate((100, 600, 1_400, 2_500), 1)]
    path = tmp_path / "2024-12-01_XRPUSDT_ob500.data"
    path.write_text("\n".join(lines) + "\n")

    assert bring(storage, path).rows_added == 2


def test_what_is_no_archive_is_refused(storage: Storage, tmp_path: Path) -> None:
    good = [message(100, 1), message(600, 2), message(1_400, 3)]
    page = tmp_path / "a" / "2024-12-01_XRPUSDT_ob500.data.zip"
    page.parent.mkdir()
    page.write_text("<html>404</html>")
    cut = archive(tmp_path / "b", *good)
    cut.write_bytes(cut.read_bytes()[:-30])
    pathy = zip_of(tmp_path / "c" / page.name, "\n".join(good), member="../x.data")

    assert "web page" in refusal(storage, page)
    assert "cut short" in refusal(storage, cut)
    assert "with a path" in refusal(storage, pathy)
    assert "line 4" in refusal(storage, archive(tmp_path / "d", *good, '{"topic": 1}'))
    assert "line 4" in refusal(storage, archive(tmp_path / "e", *good, "[1]"))
    assert "something else" in refusal(
        storage, archive(tmp_path / "f", *good, message(1, 4, symbol="BTCUSDT"))
    )
    assert "no snapshot" in refusal(storage, archive(tmp_path / "g", *good[1:]))
    assert "dollars" in refusal(
        storage, archive(tmp_path / "h", message(1, 1, symbol="BTCUSD"), symbol="BTCUSD")
    )


def test_a_bomb_is_refused(storage: Storage, tmp_path: Path) -> None:
    text = message(100, 1) + "\n" + "\n" * (64 << 20)
    path = tmp_path / "2024-12-01_XRPUSDT_ob500.data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("2024-12-01_XRPUSDT_ob500.data", text)

    assert "bomb" in refusal(storage, path)


@needs_real_data
def test_the_recorded_archive_is_imported_whole(storage: Storage) -> None:
    """50 messages of 2024-12-01, the ids dense: one book, sampled at seconds 1 to 5."""
    report = bring(storage, REAL)

    [outcome] = report.files
    assert (outcome.state, outcome.reason) == (FileState.STORED, "")
    rows = stored(storage)
    assert rows is not None
    assert rows["ts"][0].as_py() == datetime(2024, 12, 1, 0, 0, 1)
    assert rows.num_rows == 5
    assert {len(row) for row in rows["bid_prices"].to_pylist()} == {20}
    with zipfile.ZipFile(REAL) as opened:
        text = opened.read(opened.namelist()[0]).decode().splitlines()
    assert len(text) == 50
