"""Checks of trades and books on recorded ones: what is odd in them is found, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from archive_kit import NOW, REAL_DATA

from lake.domain.identifiers import DataType, Venue
from lake.domain.schemas import ORDERBOOK
from lake.ingestion.imports import import_files
from lake.storage.lake import Storage
from tests.checks.market_kit import OURS, Checked, opened, series_of
from tests.real import readers
from tests.real.kit import keep, needs_recordings
from tests.real.readers import RECORDED

pytestmark = needs_recordings
TRADES, BOOKS = DataType.TRADES, DataType.ORDERBOOK


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    """All of the recordings that hold trades or books."""
    root = tmp_path_factory.mktemp("recorded") / "lake"
    with Storage.open(root, create=True) as storage:
        for name, venue in (
            ("freqtrade/XRP_ETH-trades.json.gz", "BINANCE"),
            ("freqtrade/kraken_trades_csv", "KRAKEN"),
            ("bybit_orderbook_archive", "BYBIT"),
        ):
            list(import_files(storage, [REAL_DATA / name], now=NOW, venue=Venue(venue)).files)
        for market, venue in (("spot", "BINANCE"), ("usdm", "BINANCEUSDM")):
            code = "BTCUSDT" if market == "spot" else "BTCUSDT-PERP"
            frames = RECORDED / f"hftbacktest_ws/{market}/btcusdt_20240808.gz"
            trades = readers.binance_stream_recording(frames)
            keep(storage, series_of(TRADES, f"{code}.{venue}"), trades.rows, variant="single/venue")
            books = readers.rebuilt_books(market, every_ms=1_000, levels=20).rows
            keep(storage, series_of(BOOKS, f"{code}.{venue}"), books, variant="rebuilt/20")
        for symbol, row in readers.binance_rest_books().items():
            rows = readers.table([row], ORDERBOOK)
            keep(storage, series_of(BOOKS, f"{symbol}.BINANCE"), rows, variant="rest/1000")
        rows = readers.tardis_books(25).rows
        keep(storage, series_of(BOOKS, "ETHUSDT-PERP.BINANCEUSDM"), rows, variant="rebuilt/25")
    yield from opened(root)


@pytest.mark.parametrize("check", OURS)
def test_recorded_trades_and_books_are_what_they_are(lake: Checked, check: str) -> None:
    """Files without a promise are told as information; two equal trades of Kraken are two."""
    found = lake.found(check, now=NOW)

    told = [f"{each['instrument']}.{each['venue']} {each.get('severity')}" for each in found]
    unpromised = ["XRPETH.BINANCE info", "BCHEUR.KRAKEN info"]
    assert told == (unpromised if check == "trade_coverage" else [])


def test_all_of_them_are_held(lake: Checked) -> None:
    [rows] = lake.warehouse.query(
        "select (select count(*) from checked_trades), (select count(*) from checked_orderbook)"
    ).rows()

    assert rows == (12_477 + 148 + 9_757 + 21_313, 5 + 347 + 346 + 4 + 10)
