"""Importing files that are read together with others: what is known of them is known of all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from archive_kit import NOW, csv_of, epoch_ms

from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.ingestion.imports import FileOutcome, FileState, import_files
from lake.storage.lake import Storage

NOON = datetime(2024, 3, 1, 12)
DEPTH = "BTCUSDT_T_DEPTH_2024-03-01_depth"
HEADER = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu\n"
MS = epoch_ms(NOON)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "data", create=True) as opened:
        yield opened


def bring(storage: Storage, path: Path) -> FileOutcome:
    [outcome] = import_files(storage, [path], now=NOW).files
    return outcome


def books(storage: Storage, code: str) -> list[datetime]:
    """When each book that is held was."""
    series = Series(DataType.ORDERBOOK, InstrumentId.from_str(code))
    found: list[datetime] = []
    for each in storage.catalog.partitions(series):
        table = storage.read_partition(each.partition)
        assert table is not None
        found += table["ts"].to_pylist()
    return found


def snapshot(at: int, number: int) -> str:
    """Both sides of the book at so many ms, with its id."""
    return HEADER + "".join(
        f"BTCUSDT,{MS + at},{number},{number},{side},snap,{price},1,-1\n"
        for side, price in (("b", 99), ("a", 101))
    )


def test_changes_are_read_again_when_their_snapshots_are_others(
    storage: Storage, tmp_path: Path
) -> None:
    """The first part of the book was missing only because the other file was not whole."""
    changes = "".join(
        f"BTCUSDT,{MS + at},{first},{last},b,set,99,{last},{first - 1}\n"
        for at, first, last in ((500, 9, 12), (1_500, 13, 16), (2_500, 17, 20), (3_500, 21, 24))
    )
    updates = csv_of(tmp_path / f"{DEPTH}_update.csv", HEADER + changes)
    snaps = csv_of(tmp_path / f"{DEPTH}_snap.csv", snapshot(2_000, 18))

    first = bring(storage, updates)
    csv_of(snaps, snapshot(0, 10))
    second = bring(storage, updates)
    third = bring(storage, updates)

    assert [each.state for each in (first, second, third)] == [
        FileState.STORED,
        FileState.STORED,
        FileState.UNCHANGED,
    ]
    assert third.reason == "taken in before"
    assert books(storage, "BTCUSDT-PERP.BINANCEUSDM")[0] == NOON


def test_a_recording_is_read_again_with_other_answers(storage: Storage, tmp_path: Path) -> None:
    """An older recorder of cryptofeed wrote them to files of their own."""
    address = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=5"

    def answer(update_id: int, at: int) -> None:
        body = {"lastUpdateId": update_id, "bids": [["99", "1"]], "asks": [["101", "2"]]}
        text = f"{address} -> {MS / 1000 + at}: {json.dumps(body)}\n"
        csv_of(tmp_path / "BINANCE.http.0.0", text)

    lines = [f"wss://stream.binance.com:9443/stream?streams=a@b <-> {MS / 1000}"]
    for at in range(1, 5):
        data = {"e": "depthUpdate", "E": MS + at * 1_000, "s": "BTCUSDT", "U": at * 10}
        data |= {"u": at * 10 + 9, "b": [["99", str(at)]], "a": []}
        message = {"stream": "btcusdt@depth@100ms", "data": data}
        lines.append(f"{MS / 1000 + at}: {json.dumps(message)}")
    stream = csv_of(tmp_path / "BINANCE.ws.1.0", "\n".join(lines) + "\n")
    answer(25, 2)

    first = bring(storage, stream)
    after = books(storage, "BTCUSDT.BINANCE")
    answer(12, 0)
    second = bring(storage, stream)
    third = bring(storage, stream)

    assert first.state is FileState.STORED
    assert after[0] == NOON + timedelta(seconds=2)
    assert second.state is FileState.STORED
    assert books(storage, "BTCUSDT.BINANCE")[0] == NOON + timedelta(seconds=1)
    assert (third.state, third.reason) == (FileState.UNCHANGED, "taken in before")
