"""Trades, funding and books of the box through the real client, with every fault there is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from lake.domain.identifiers import DataType, Instrument, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest
from lake.simulator.faults import FAULTS
from lake.simulator.market import generate
from lake.sources.answers import Retry
from lake.sources.budget import MemoryLedger
from lake.sources.ccxt_source import CcxtSource
from lake.storage.lake import Storage
from tests.box import BoxThread

START, END = datetime(2024, 1, 30, 18), datetime(2024, 2, 1, 6)
NOW = "2024-02-05"
MINUTES = TimeRange(datetime(2024, 1, 31, 3, 0, 1), datetime(2024, 1, 31, 3, 50))
WHOLE = TimeRange(START - timedelta(days=1), END + timedelta(days=2))
VENUES = ("BINANCE", "BINANCEUSDM", "BINANCECOINM")
PATIENT = Retry(attempts=20, base_s=0.002)
PATHS = {
    DataType.TRADES: "aggTrades",
    DataType.FUNDING_RATES: "fundingRate",
    DataType.ORDERBOOK: "depth",
}
PASSING = [name for name, fault in FAULTS.items() if fault.transient]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("market") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=11,
            instruments=["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"],
            start=START,
            end=END,
            timeframes=[TimeFrame.HOUR_1],
            rate=0.4,
            store_trades=True,
            books=timedelta(minutes=1),
            book_levels=50,
            funding={datetime(2023, 1, 1): 8, datetime(2024, 1, 31, 8): 4},
        )
    return root


@pytest.fixture(scope="module")
def running(root: Path) -> Iterator[BoxThread]:
    with BoxThread(root, clock_start=NOW, limits=False) as box:
        yield box


@pytest.fixture
def box(running: BoxThread) -> BoxThread:
    running.control("reset")
    running.exchange.faults.queue.clear()
    return running


def truth(root: Path, series: Series, window: TimeRange) -> pa.Table:
    with Storage.open(root, read_only=True) as storage:
        parts = storage.catalog.partitions(series)
        tables = [storage.read_partition(each.partition) for each in parts]
    rows = pa.concat_tables([table for table in tables if table is not None])
    return rows.filter(pa.array([ts in window for ts in rows["ts"].to_pylist()]))


def fetch(
    box: BoxThread,
    venue: str,
    kind: DataType,
    window: TimeRange = MINUTES,
    *,
    fault: str = "",
    rate: float = 0.0,
    seed: int = 0,
) -> tuple[Series, list[Page]]:
    """All pages of *window*, or one book, with faults once the source is open."""

    async def main() -> tuple[Series, list[Page]]:
        source = await CcxtSource.open(
            Venue(venue),
            base_url=box.url,
            ledger=MemoryLedger(),
            rate_share=1.0,
            retry=PATIENT,
            timeout_s=0.5,
        )
        try:
            [instrument] = await source.instruments()
            series = Series(kind, instrument.id)
            source.check(instrument, series)
            if fault:
                box.control("faults", queue=[{"fault": fault, "count": 1, "path": PATHS[kind]}])
            elif rate:
                box.control("faults", rate=rate, seed=seed)
            if kind is DataType.ORDERBOOK:
                return series, [await source.book(instrument, 20)]
            async with aclosing(source.pages(instrument, series, window)) as pages:
                return series, [page async for page in pages]
        finally:
            await source.close()

    return asyncio.run(main())


def is_true(root: Path, series: Series, pages: list[Page], window: TimeRange) -> bool:
    rows, expected = pa.concat_tables([page.rows for page in pages]), truth(root, series, window)
    if series.venue.name == "BINANCECOINM":
        # COIN-M's history has no mark price.
        names = [each for each in rows.column_names if each != "mark_price"]
        rows, expected = rows.select(names), expected.select(names)
    return bool(rows.equals(expected))


@pytest.mark.parametrize("venue", VENUES)
def test_every_trade_comes_back(box: BoxThread, root: Path, venue: str) -> None:
    """Amounts of COIN-M too: contracts there, the base asset here."""
    series, pages = fetch(box, venue, DataType.TRADES, WHOLE)

    assert is_true(root, series, pages, WHOLE)
    assert pages[0].window.start == WHOLE.start
    assert pages[-1].window.end == WHOLE.end
    claimed = sum((each.range.duration for p in pages for each in p.claims), timedelta())
    assert claimed == WHOLE.duration


@pytest.mark.parametrize("venue", VENUES[1:])
def test_every_settlement_comes_back(box: BoxThread, root: Path, venue: str) -> None:
    series, pages = fetch(box, venue, DataType.FUNDING_RATES, WHOLE)

    assert is_true(root, series, pages, WHOLE)
    assert pages[-1].window.end == WHOLE.end


@pytest.mark.parametrize("venue", VENUES)
def test_the_book_of_now_comes_back(box: BoxThread, root: Path, venue: str) -> None:
    series, [page] = fetch(box, venue, DataType.ORDERBOOK)

    [row] = page.rows.to_pylist()
    [stored] = truth(root, series, WHOLE).to_pylist()[-1:]
    assert row["sequence"] == stored["sequence"]
    for side in ("bid", "ask"):
        assert row[f"{side}_prices"] == stored[f"{side}_prices"][:20]
        assert row[f"{side}_quantities"] == pytest.approx(stored[f"{side}_quantities"][:20])
    at = stored["ts"] if venue != "BINANCE" else datetime.fromisoformat(NOW)
    assert abs(row["ts"] - at) < timedelta(minutes=10)
    assert [claim.range.start for claim in page.claims] == [row["ts"]]


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("kind", PATHS)
def test_a_fault_that_passes_leaves_no_trace(
    box: BoxThread, root: Path, kind: DataType, fault: str
) -> None:
    series, pages = fetch(box, "BINANCEUSDM", kind, fault=fault)

    assert sum(len(page.rejected) for page in pages) == 0
    assert all(page.notes == () for page in pages)
    if kind is DataType.ORDERBOOK:
        assert pages[0].rows.num_rows == 1
    else:
        assert is_true(root, series, pages, MINUTES)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("venue", VENUES)
def test_forty_percent_faults_end_equal_to_the_truth(
    box: BoxThread, root: Path, venue: str, seed: int
) -> None:
    everything_is_true(box, root, venue, seed)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(100, 140))
@pytest.mark.parametrize("venue", VENUES)
def test_forty_percent_faults_end_equal_to_the_truth_often(
    box: BoxThread, root: Path, venue: str, seed: int
) -> None:
    everything_is_true(box, root, venue, seed)


def everything_is_true(box: BoxThread, root: Path, venue: str, seed: int) -> None:
    kinds = [DataType.TRADES] if venue == "BINANCE" else [DataType.TRADES, DataType.FUNDING_RATES]
    for kind in kinds:
        series, pages = fetch(box, venue, kind, WHOLE, rate=0.4, seed=seed)
        assert is_true(root, series, pages, WHOLE)
        assert all(page.rejected == () and page.notes == () for page in pages)
        box.control("reset")


def test_what_an_instrument_does_not_have_is_refused_before_any_request(box: BoxThread) -> None:
    async def main() -> None:
        source = await CcxtSource.open(
            Venue("BINANCEUSDM"), base_url=box.url, ledger=MemoryLedger(), rate_share=1.0
        )
        try:
            [listed] = await source.instruments()
            dated = Instrument(
                listed.venue, "BTCUSDT-241227", "BTC/USDT:USDT-241227", "BTCUSDT_241227",
                listed.kind, "BTC", "USDT", "USDT",
            )  # fmt: skip
            with pytest.raises(InvalidRequest, match="it expires"):
                source.check(dated, Series(DataType.FUNDING_RATES, dated.id))
            with pytest.raises(InvalidRequest, match="1 to 1000"):
                await source.book(listed, 5_000)
            assert source.variant(Series(DataType.TRADES, listed.id)) == "aggregate/venue"
            assert source.variant(Series(DataType.ORDERBOOK, listed.id), depth=50) == "rest/50"
            assert source.variant(Series(DataType.FUNDING_RATES, listed.id)) is None
        finally:
            await source.close()

    asyncio.run(main())
