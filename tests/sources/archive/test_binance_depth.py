"""Tiny T_DEPTH files of Binance: snapshots and changes in two files that are one book."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from archive_kit import contents_of, csv_of, recognised

from lake.domain.identifiers import DataType
from lake.errors import SourceError
from lake.sources.archive import Hints, NotRecognised, recognise

NOTHING = Hints()
NOON = datetime(2024, 3, 1, 12)
NOON_MS = 1_709_294_400_000
HEADER = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu\n"


def row(
    at: int, ids: tuple[int, int, int], side: str, kind: str, price: float, size: float,
    *, symbol: str = "BTCUSDT",
) -> str:  # fmt: skip
    first, last, previous = ids
    return f"{symbol},{NOON_MS + at},{first},{last},{side},{kind},{price},{size},{previous}\n"


def snapshot(at: int, last: int, *, symbol: str = "BTCUSDT") -> str:
    ids = (last, last, -1)
    return row(at, ids, "b", "snap", 99, 1, symbol=symbol) + row(
        at, ids, "a", "snap", 101, 2, symbol=symbol
    )


def change(at: int, ids: tuple[int, int, int], bid: float, *, symbol: str = "BTCUSDT") -> str:
    return row(at, ids, "b", "set", 99, bid, symbol=symbol)


def pair(folder: Path, snaps: str, updates: str, *, symbol: str = "BTCUSDT") -> tuple[Path, Path]:
    start = f"{symbol}_T_DEPTH_2024-03-01_depth"
    return (
        csv_of(folder / f"{start}_snap.csv", HEADER + snaps),
        csv_of(folder / f"{start}_update.csv", HEADER + updates),
    )


def test_both_files_are_read_as_one_book(tmp_path: Path) -> None:
    """Changes before the snapshot are left out, the one that holds its id is the first."""
    snaps, updates = pair(
        tmp_path,
        snapshot(0, 10),
        change(-100, (5, 8, 4), 7)
        + change(200, (9, 12, 8), 3)
        + row(200, (9, 12, 8), "a", "delete", 101, 5)
        + row(200, (9, 12, 8), "a", "set", 102, 5)
        + change(1_200, (13, 20, 12), 4),
    )

    file = recognised(updates, NOTHING)
    page = contents_of(file).page

    assert (str(file.series), file.variant) == (
        "BTCUSDT-PERP.BINANCEUSDM orderbook",
        "rebuilt/20/1s",
    )
    rows = page.rows.to_pylist()
    assert [each["ts"] for each in rows] == [NOON, NOON + timedelta(seconds=1)]
    assert (rows[1]["bid_quantities"], rows[1]["ask_prices"]) == ([3.0], [102.0])
    assert rows[1]["sequence"] == 12
    with pytest.raises(NotRecognised, match="both are read together"):
        recognise(snaps, NOTHING)


def test_a_hole_ends_the_book_until_the_next_snapshot(tmp_path: Path) -> None:
    _, updates = pair(
        tmp_path,
        snapshot(0, 10) + snapshot(5_000, 60),
        change(500, (9, 12, 8), 3)
        + change(1_500, (31, 40, 30), 4)
        + change(5_100, (55, 61, 50), 5)
        + change(6_200, (62, 63, 61), 6),
    )

    page = contents_of(recognised(updates, NOTHING)).page

    assert page.rows["sequence"].to_pylist() == [10, 60, 61]
    assert [note.text for note in page.notes] == ["update id 30 does not follow 12"]
    ends = [claim.range.end - NOON for claim in page.claims]
    assert ends == [timedelta(seconds=0.5), timedelta(seconds=6.2)]


def test_contracts_of_coinm_become_the_base_asset(tmp_path: Path) -> None:
    symbol = "BTCUSD_PERP"
    snaps, updates = pair(tmp_path, snapshot(0, 10, symbol=symbol), "", symbol=symbol)
    updates.unlink()

    file = recognised(snaps, NOTHING)

    assert (str(file.series), file.variant) == (
        "BTCUSD-PERP-BTC.BINANCECOINM orderbook",
        "rest/1000",
    )
    assert contents_of(file).page.rows["bid_quantities"].to_pylist() == [[100 / 99]]


def test_changes_without_snapshots_make_no_book(tmp_path: Path) -> None:
    snaps, updates = pair(tmp_path, snapshot(0, 10), change(500, (9, 12, 8), 3))
    snaps.unlink()

    with pytest.raises(SourceError, match=r"Put BTCUSDT_T_DEPTH_2024-03-01_depth_snap.csv beside"):
        recognise(updates, NOTHING)


def test_what_is_no_book_is_refused(tmp_path: Path) -> None:
    good = change(500, (9, 12, 8), 3) + change(1_500, (13, 14, 12), 3)
    bids = row(0, (10, 10, -1), "b", "snap", 99, 1)
    _, cut = pair(tmp_path / "a", bids, good)
    _, odd = pair(tmp_path / "b", snapshot(0, 10), good.replace("set", "add"))
    _, broken = pair(tmp_path / "c", snapshot(0, 10), good + change(2_000, (15, 16, 14), 3)[:-9])
    renamed = csv_of(tmp_path / "d" / cut.name, HEADER.replace("qty", "size") + good)

    with pytest.raises(SourceError, match="has a snapshot without asks"):
        contents_of(recognised(cut, NOTHING))
    with pytest.raises(SourceError, match="rows of an unknown kind"):
        contents_of(recognised(odd, NOTHING))
    with pytest.raises(SourceError, match=r"no part of a book|cut short"):
        contents_of(recognised(broken, NOTHING))
    with pytest.raises(SourceError, match="has other columns"):
        recognise(renamed, NOTHING)
    assert recognised(cut, Hints(data_type=DataType.ORDERBOOK)).instrument.base == "BTC"


def test_a_file_named_for_another_day_is_refused(tmp_path: Path) -> None:
    changes = change(500, (9, 12, 8), 3) + change(1_500, (13, 14, 12), 3)
    snaps, updates = pair(tmp_path, snapshot(0, 10), changes)
    for path in (snaps, updates):
        path.rename(path.with_name(path.name.replace("03-01", "03-02")))

    with pytest.raises(SourceError, match="outside the time that the file's name says"):
        contents_of(recognised(updates.with_name(updates.name.replace("03-01", "03-02")), NOTHING))
