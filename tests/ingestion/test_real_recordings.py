"""Recordings of streams among the recorded data: counts of their README, books proved by quotes."""

from __future__ import annotations

import gzip
import json
import shutil
from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from archive_kit import NOW, REAL_DATA, needs_real_data

from lake.domain.coverage import Basis
from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.schemas import TRADES
from lake.ingestion.imports import FileOutcome, FileState, import_files
from lake.storage.lake import Storage
from tests.real import readers
from tests.real.kit import held
from tests.real.readers import table

pytestmark = needs_real_data


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "lake", create=True) as opened:
        yield opened


def bring(storage: Storage, *names: str | Path, **hints: Any) -> list[FileOutcome]:
    paths = [REAL_DATA / name for name in names]
    return list(import_files(storage, paths, now=NOW, **hints).files)


def stored(outcomes: list[FileOutcome]) -> dict[str, int]:
    """Rows by series, of the files that were stored."""
    return {str(each.series): each.rows for each in outcomes if each.state is FileState.STORED}


def rows_of(storage: Storage, code: str, data_type: DataType) -> pa.Table:
    return held(storage, Series(data_type, InstrumentId.from_str(code)))


def quotes(path: Path) -> tuple[list[int], list[tuple[float, float]]]:
    """Update ids of the quotes in a recording of Binance, ascending, and their best prices."""
    found: dict[int, tuple[float, float]] = {}
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        message = json.loads(line.partition(" ")[2])
        if str(message.get("stream")).endswith("@bookTicker"):
            data = message["data"]
            found[data["u"]] = (float(data["b"]), float(data["a"]))
    ids = sorted(found)
    return ids, [found[number] for number in ids]


@pytest.mark.parametrize(
    ("market", "code", "trades", "books"),
    [("spot", "BTCUSDT.BINANCE", 9_757, 346), ("usdm", "BTCUSDT-PERP.BINANCEUSDM", 21_313, 345)],
)
def test_a_recording_of_binance_is_imported_whole(
    storage: Storage, market: str, code: str, trades: int, books: int
) -> None:
    """All trades, equal in every column; and every rebuilt book has the best prices of the quote
    of its update id, which the exchange told on another stream."""
    name = f"hftbacktest_ws/{market}/btcusdt_20240808.gz"

    outcomes = bring(storage, name)

    assert stored(outcomes) == {f"{code} trades": trades, f"{code} orderbook": books}
    assert [each.rejected for each in outcomes] == [0, 0]
    assert [each.reason for each in outcomes] == ["", ""]
    [told] = [
        found
        for (_, event), found in readers.binance_stream_trades(
            readers.hftbacktest_frames(REAL_DATA / name)
        ).items()
        if event == "trade"
    ]
    expected = table([row for row, _ in told], TRADES)
    assert rows_of(storage, code, DataType.TRADES).equals(
        expected.sort_by([("ts", "ascending"), ("trade_id", "ascending")])
    )
    ids, prices = quotes(REAL_DATA / name)
    compared = 0
    for row in rows_of(storage, code, DataType.ORDERBOOK).to_pylist():
        at = bisect_right(ids, row["sequence"]) - 1
        if at >= 0:
            assert (row["best_bid"], row["best_ask"]) == prices[at]
            compared += 1
        assert len(row["bid_prices"]) == len(row["ask_prices"]) == 20
    assert compared >= books - 1
    again = bring(storage, name)
    assert {each.state for each in again} == {FileState.UNCHANGED}


def test_a_recording_of_hyperliquid(storage: Storage) -> None:
    """46 messages of books, of which one came twice, and 9 messages with 64 trades."""
    name = "hftbacktest_ws/hyperliquid/btcusd_20250126.gz"
    code = "BTCUSDC-PERP.HYPERLIQUID"

    assert stored(bring(storage, name)) == {f"{code} trades": 64, f"{code} orderbook": 45}

    trades = rows_of(storage, code, DataType.TRADES)
    first = trades.slice(0, 1).to_pylist()[0]
    assert (first["trade_id"], first["price"], first["quantity"], first["side"]) == (
        121451470284048,
        105056.0,
        0.00219,
        "buy",
    )
    assert trades["ts"][0].as_py() == datetime(2025, 1, 26, 19, 13, 14, 873_000)
    books = rows_of(storage, code, DataType.ORDERBOOK)
    assert books["ts"][0].as_py() == datetime(2025, 1, 26, 19, 14, 3, 542_000)
    assert books["best_bid_quantity"][0].as_py() == 3.03622
    info = storage.catalog.series_info(Series(DataType.ORDERBOOK, InstrumentId.from_str(code)))
    assert info is not None
    assert info.variant == "feed/20"


def test_a_session_of_binance_spot(storage: Storage) -> None:
    """Two aggregates, three books; of RUNE/EUR one change came after the snapshot."""
    outcomes = bring(storage, "cryptofeed_v3/BINANCE.jsonl.zst")

    assert stored(outcomes) == {
        "BLZETH.BINANCE orderbook": 5,
        "LRCBTC.BINANCE trades": 1,
        "LRCBTC.BINANCE orderbook": 9,
        "NKNUSDT.BINANCE trades": 1,
        "NKNUSDT.BINANCE orderbook": 30,
    }
    [refused] = [each for each in outcomes if each.state is FileState.REFUSED]
    assert str(refused.series) == "RUNEEUR.BINANCE orderbook"
    assert "holds no snapshot with changes after it" in refused.reason
    [trade] = rows_of(storage, "LRCBTC.BINANCE", DataType.TRADES).to_pylist()
    assert (trade["trade_id"], trade["first_trade_id"], trade["quantity"], trade["side"]) == (
        9213679,
        12368013,
        177.0,
        "buy",
    )


def test_the_older_format_holds_the_same_session(storage: Storage, tmp_path: Path) -> None:
    """Books and trades of both are equal in every row."""
    bring(storage, "cryptofeed_master/BINANCE.ws.1.0")
    with Storage.open(tmp_path / "other", create=True) as other:
        bring(other, "cryptofeed_v3/BINANCE.jsonl.zst")

        for code in ("BLZETH", "LRCBTC", "NKNUSDT"):
            books = rows_of(storage, f"{code}.BINANCE", DataType.ORDERBOOK)
            assert books.num_rows
            assert books.equals(rows_of(other, f"{code}.BINANCE", DataType.ORDERBOOK))
        for code in ("LRCBTC", "NKNUSDT"):
            trades = rows_of(storage, f"{code}.BINANCE", DataType.TRADES)
            assert trades.equals(rows_of(other, f"{code}.BINANCE", DataType.TRADES))


def test_answers_without_their_stream_are_books_that_were_asked_for(
    storage: Storage, tmp_path: Path
) -> None:
    """Four of them, a thousand levels a side where there are so many."""
    alone = tmp_path / "BINANCE.http.0.0"
    shutil.copy(REAL_DATA / "cryptofeed_master" / alone.name, alone)
    [beside] = bring(storage, "cryptofeed_master/BINANCE.http.0.0")

    assert "read together" in beside.reason
    assert stored(bring(storage, alone)) == {
        f"{symbol}.BINANCE orderbook": 1 for symbol in ("BLZETH", "LRCBTC", "NKNUSDT", "RUNEEUR")
    }
    for symbol, expected in readers.binance_rest_books().items():
        [row] = rows_of(storage, f"{symbol}.BINANCE", DataType.ORDERBOOK).to_pylist()
        assert row == expected


def test_a_session_of_binance_futures(storage: Storage) -> None:
    """91 aggregates of four perpetuals; every book whole from snapshot to end."""
    outcomes = bring(storage, "cryptofeed_v3/BINANCE_FUTURES.jsonl.zst")

    counts = stored(outcomes)
    trades = {name: rows for name, rows in counts.items() if name.endswith("trades")}
    assert trades == {
        "AKROUSDT-PERP.BINANCEUSDM trades": 8,
        "CTKUSDT-PERP.BINANCEUSDM trades": 38,
        "KEEPUSDT-PERP.BINANCEUSDM trades": 5,
        "SUSHIUSDT-PERP.BINANCEUSDM trades": 40,
    }
    books = {name: rows for name, rows in counts.items() if name.endswith("orderbook")}
    assert books == {
        "AKROUSDT-PERP.BINANCEUSDM orderbook": 29,
        "CTKUSDT-PERP.BINANCEUSDM orderbook": 29,
        "KEEPUSDT-PERP.BINANCEUSDM orderbook": 27,
        "SUSHIUSDT-PERP.BINANCEUSDM orderbook": 30,
    }
    assert {each.reason for each in outcomes} == {""}


def test_a_session_of_okx(storage: Storage) -> None:
    """290 messages of three books, each with a checksum that the rebuilt book has, too."""
    outcomes = bring(storage, "cryptofeed_v3/OKX.jsonl.zst")

    assert stored(outcomes) == {
        "BTCUSD-220527-BTC.OKX orderbook": 11,
        "BTCUSD-220527-BTC.OKX trades": 4,
        "BTCUSDT.OKX orderbook": 11,
        "BTCUSDT.OKX trades": 69,
        "UNIUSD-PERP-UNI.OKX orderbook": 11,
        "UNIUSD-PERP-UNI.OKX trades": 1,
    }
    assert {each.reason for each in outcomes} == {""}
    [trade] = rows_of(storage, "UNIUSD-PERP-UNI.OKX", DataType.TRADES).to_pylist()
    # A hundred contracts of ten dollars at 5.123.
    assert trade["quantity"] == 100 * 10 / 5.123
    sizes = {str(each.id): each.contract_size for each in storage.catalog.instruments()}
    assert sizes["UNIUSD-PERP-UNI.OKX"] == 10.0
    assert sizes["BTCUSD-220527-BTC.OKX"] == 100.0


def test_a_session_of_coinbase(storage: Storage) -> None:
    """1,030 messages without a hole: trades since before the session, and two whole books."""
    outcomes = bring(storage, "cryptofeed_v3/COINBASE.jsonl.zst")

    assert stored(outcomes) == {
        "BTCUSD.COINBASE orderbook": 24,
        "BTCUSD.COINBASE trades": 147,
        "ETHUSD.COINBASE orderbook": 24,
        "ETHUSD.COINBASE trades": 132,
    }
    assert {each.reason for each in outcomes} == {""}
    trades = rows_of(storage, "BTCUSD.COINBASE", DataType.TRADES)
    ids = trades["trade_id"].to_pylist()
    assert ids == list(range(ids[0], ids[0] + 147))
    books = Series(DataType.ORDERBOOK, InstrumentId.from_str("BTCUSD.COINBASE"))
    [coverage] = storage.catalog.coverage(books)
    assert coverage.basis is Basis.ROWS_ONLY
