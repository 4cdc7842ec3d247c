"""Recorded order books: stored and read back exact, whatever depth and however they were told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.schemas import ORDERBOOK
from lake.storage.gaps import find_gaps
from lake.storage.lake import Storage
from tests.real import readers
from tests.real.kit import assert_held, held, keep, needs_recordings

pytestmark = needs_recordings


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "lake", create=True) as storage:
        yield storage


def test_the_rest_books_of_a_recorded_session_come_back_exact(storage: Storage) -> None:
    """Four symbols, a thousand levels a side where there are so many, sequence and clock kept."""
    found = readers.binance_rest_books()

    for symbol, row in found.items():
        series = Series(DataType.ORDERBOOK, InstrumentId(symbol, Venue("BINANCE")))
        rows = readers.table([row], ORDERBOOK)
        moment = TimeRange(row["ts"], row["ts"] + timedelta(microseconds=1))
        claims = [Claim(moment, Basis.ANSWER, "snapshot")]
        keep(storage, series, rows, variant="rest/1000", claims=claims)
        assert_held(storage, series, rows)
        assert keep(storage, series, rows, variant="rest/1000", claims=claims) == 0
        [stored] = held(storage, series).to_pylist()
        assert stored["bid_prices"] == sorted(stored["bid_prices"], reverse=True)
        assert stored["ask_prices"] == sorted(stored["ask_prices"])
        assert stored["best_bid"] < stored["best_ask"]

    assert sorted(found) == ["BLZETH", "LRCBTC", "NKNUSDT", "RUNEEUR"]
    assert found["NKNUSDT"]["sequence"] == 499_869_752
    assert (found["NKNUSDT"]["best_bid"], found["NKNUSDT"]["best_bid_quantity"]) == (0.3521, 672.0)
    assert find_gaps(storage) == []


@pytest.mark.parametrize("levels", [5, 25])
def test_snapshots_without_a_sequence_come_back_exact(storage: Storage, levels: int) -> None:
    """tardis.dev's CSV has none; several of its snapshots may fall into one millisecond."""
    series = Series(DataType.ORDERBOOK, InstrumentId("BTCUSDT-PERP", Venue("BINANCEUSDM")))
    rows = readers.tardis_books(levels).rows

    keep(storage, series, rows, variant=f"rebuilt/{levels}")

    assert rows["sequence"].null_count == rows.num_rows == 10
    assert_held(storage, series, rows)


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_books_rebuilt_from_recorded_changes_come_back_exact(storage: Storage, market: str) -> None:
    """A snapshot and thousands of changes: 346 books, none crossed, no second left out."""
    series = Series(DataType.ORDERBOOK, InstrumentId("BTCUSDT", Venue("BINANCE")))
    rows = readers.rebuilt_books(market, every_ms=1_000, levels=20).rows

    keep(storage, series, rows, variant="rebuilt/20", claims=())

    assert rows.num_rows > 340
    assert all(row["best_bid"] < row["best_ask"] for row in rows.to_pylist())
    assert_held(storage, series, rows)
    assert find_gaps(storage) == []
