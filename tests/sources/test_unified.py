"""Venues without an entry of their own: trades, books and funding by ccxt's unified methods."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.times import to_us
from lake.errors import InvalidRequest, SourceError
from lake.simulator.market import generate
from lake.sources.answers import Retry
from lake.sources.budget import MemoryLedger
from lake.sources.capabilities import capabilities, capability, refusal
from lake.sources.ccxt_source import CcxtSource
from lake.sources.cursor import Cursor
from lake.sources.funding_now import read_funding_now
from lake.sources.unified_methods import lacks, method
from lake.sources.unified_rows import _asked_for, decode_book, decode_trades
from lake.storage.lake import Storage
from tests.box import BoxThread

START, NOW = datetime(2024, 1, 30, 18), "2024-01-31T06:00:00"
WINDOW = TimeRange(START + timedelta(minutes=7), START + timedelta(hours=3))
BLOFIN = Instrument(
    Venue("BLOFIN"), "BTCUSDT-PERP", "BTC/USDT:USDT", "BTC-USDT", InstrumentKind.LINEAR, "BTC",
    "USDT", "USDT", contract_size=0.001,
)  # fmt: skip
TYPES = (DataType.TRADES, DataType.ORDERBOOK, DataType.FUNDING_RATES)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoxThread]:
    root = tmp_path_factory.mktemp("unified") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage, seed=3, instruments=["BTC/USDT"], start=START, end=START + timedelta(hours=9),
            timeframes=[], rate=0.5, store_trades=True, books=timedelta(minutes=1),
        )  # fmt: skip
    with BoxThread(root, clock_start=NOW, limits=False) as running:
        yield running


def fetch(box: BoxThread, kind: DataType, *, rate: float = 0.0, seed: int = 0) -> list[Page]:
    """BINANCEUS has no entry, but speaks as the box does."""

    async def main() -> list[Page]:
        source = await CcxtSource.open(
            Venue("BINANCEUS"), base_url=box.url, ledger=MemoryLedger(), rate_share=1.0,
            retry=Retry(attempts=20, base_s=0.002), timeout_s=0.5,
        )  # fmt: skip
        source._line.budget.limit = None
        try:
            [instrument] = await source.instruments()
            series = Series(kind, instrument.id)
            source.check(instrument, series)
            if rate:
                box.control("faults", rate=rate, seed=seed)
            if kind is DataType.ORDERBOOK:
                return [await source.book(instrument, 20)]
            async with aclosing(source.pages(instrument, series, WINDOW)) as pages:
                return [page async for page in pages]
        finally:
            await source.close()
            box.control("reset")

    return asyncio.run(main())


@pytest.mark.parametrize(("rate", "seed"), [(0.0, 0), (0.4, 1), (0.4, 2)])
def test_trades_come_back_whole_through_the_unified_method(
    box: BoxThread, rate: float, seed: int
) -> None:
    pages = fetch(box, DataType.TRADES, rate=rate, seed=seed)

    rows = pa.concat_tables([page.rows for page in pages])
    numbers = sorted(int(each) for each in rows["trade_ref"].to_pylist())
    # Aggregates are numbered without a gap, so that what lies between two of them is known.
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert len(numbers) > 4_000
    assert rows["trade_id"].null_count == rows.num_rows
    claimed = sum((each.range.duration for page in pages for each in page.claims), timedelta())
    assert claimed == WINDOW.duration


@pytest.mark.parametrize(("rate", "seed"), [(0.0, 0), (0.4, 1)])
def test_a_book_comes_through_the_unified_method(box: BoxThread, rate: float, seed: int) -> None:
    [page] = fetch(box, DataType.ORDERBOOK, rate=rate, seed=seed)

    [row] = page.rows.to_pylist()
    assert len(row["bid_prices"]) == len(row["ask_prices"]) == 20
    assert row["best_bid"] < row["best_ask"]


def test_what_has_a_unified_method_is_what_ccxt_says() -> None:
    """The table stands in for ccxt's classes, whose import would slow the listing of sources."""
    import ccxt

    for name in ccxt.exchanges:
        has = getattr(ccxt, name)().has
        for kind in TYPES:
            assert lacks(Venue(name), kind) == (has.get(method(kind)) is not True), (name, kind)


def test_listing_what_every_venue_gives_does_not_import_ccxt() -> None:
    script = (
        "import sys\n"
        "from lake.domain.identifiers import DataType\n"
        "from lake.sources.capabilities import capabilities\n"
        "print(min(len(capabilities(kind)) for kind in DataType), 'ccxt' in sys.modules)"
    )

    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip

    count, has_ccxt = found.stdout.split()
    assert int(count) > 50
    assert has_ccxt == "False"


def test_every_listed_entry_can_be_looked_up_and_every_other_has_a_reason() -> None:
    for kind in TYPES:
        listed = {each.venue.name: each for each in capabilities(kind)}
        for venue in {each.venue for each in capabilities()}:
            if venue.name in listed:
                assert capability(venue, kind) == listed[venue.name]
            else:
                assert refusal(venue, kind)


def trade(**changes: Any) -> dict[str, Any]:
    return {"timestamp": 1_704_067_200_000, "price": 100.5, "amount": 3, "side": "buy", "id": "7",
            **changes}  # fmt: skip


def test_contracts_become_coins() -> None:
    """1,274 contracts of a thousandth of a coin are 1.274 BTC."""
    entry = capability(BLOFIN.venue, DataType.TRADES)
    book = {"bids": [[42973, 616]], "asks": [[42973.1, 1274]], "timestamp": 1_707_231_904_444}

    trades = decode_trades([trade()], BLOFIN, entry).table
    levels = decode_book(book, BLOFIN).table

    assert trades["quantity"].to_pylist() == pytest.approx([0.003])
    assert levels["ask_quantities"].to_pylist() == [[pytest.approx(1.274)]]


def test_contracts_of_an_unknown_unit_are_refused() -> None:
    bydfi = Instrument(
        Venue("BYDFI"), "BTCUSDT-PERP", "BTC/USDT:USDT", "BTC-USDT", InstrumentKind.LINEAR, "BTC",
        "USDT", "USDT", contract_size=0.001,
    )  # fmt: skip

    with pytest.raises(SourceError, match="in what unit"):
        decode_trades([trade()], bydfi, capability(bydfi.venue, DataType.TRADES))


def test_trades_without_the_ids_that_their_venue_gives_are_refused() -> None:
    with pytest.raises(SourceError, match="trades without"):
        decode_trades([trade(id=None)], BLOFIN, capability(BLOFIN.venue, DataType.TRADES))


def test_a_venue_that_ignores_times_is_told_and_nothing_is_claimed() -> None:
    """ccxt drops what is older than asked; what is younger shows that the venue did not listen."""
    cursor = Cursor(100, None, to_us(START), to_us(START + timedelta(hours=1)))

    with pytest.raises(SourceError, match="ignores times; nothing is claimed"):
        _asked_for([trade(timestamp=to_us(START + timedelta(days=3)) // 1_000)], cursor, "Trades")


def test_the_running_funding_is_read_and_odd_values_are_refused() -> None:
    answer = {
        "fundingRate": 0.0001,
        "fundingTimestamp": 1_704_096_000_000,
        "markPrice": 42_000.5,
        "indexPrice": None,
    }

    found = read_funding_now(answer, BLOFIN.id, received_at=START)

    assert (found.predicted_rate, found.mark_price, found.index_price) == (0.0001, 42_000.5, None)
    assert found.next_funding_time == datetime(2024, 1, 1, 8)
    for odd in ({"fundingRate": None}, {"fundingRate": 1.5}, {"markPrice": -1},
                {"fundingTimestamp": "soon"}):  # fmt: skip
        with pytest.raises(SourceError):
            read_funding_now({**answer, **odd}, BLOFIN.id, received_at=START)


def test_a_venue_without_a_running_rate_is_refused(box: BoxThread) -> None:
    async def main() -> None:
        source = await CcxtSource.open(
            Venue("BINANCEUS"), base_url=box.url, ledger=MemoryLedger(), rate_share=1.0
        )
        try:
            [instrument] = await source.instruments()
            with pytest.raises(InvalidRequest, match="no public method"):
                await source.funding_now(instrument)
        finally:
            await source.close()

    asyncio.run(main())
