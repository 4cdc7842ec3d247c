"""Every wire fault of facts/venues.md 2.3, given by the box, through the real ccxt client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from lake.domain.identifiers import DataType, Instrument, InstrumentId, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SourceError
from lake.simulator.faults import FAULTS, Answer, Circumstances, Fault
from lake.simulator.market import generate
from lake.sources.answers import Retry
from lake.sources.budget import MemoryLedger
from lake.sources.ccxt_source import CcxtSource
from lake.storage.lake import Storage
from tests.box import BoxThread

BINANCE = Venue("BINANCE")
START, END = datetime(2024, 1, 1), datetime(2024, 1, 4)
LISTED = datetime(2024, 1, 1, 7)
OUTAGE = TimeRange(datetime(2024, 1, 2, 3), datetime(2024, 1, 2, 22, 30))
NOW = "2024-02-01"
SERIES = Series(DataType.OHLCV, InstrumentId("BTCUSDT", BINANCE), TimeFrame.MINUTE_1)
WINDOW = TimeRange(datetime(2024, 1, 1, 8), datetime(2024, 1, 1, 20))
# A candle within the window, which the box spoils in answer after answer.
ODD_MS = 1_704_110_400_000
QUICK = Retry(attempts=5, base_s=0)
PATIENT = Retry(attempts=20, base_s=0.005)
# Whatever the body lacks, the times in it are true: these pass without another request.
HARMLESS = {"duplicate_row", "microseconds", "seconds", "slow"}
# aiohttp sends a GET once more by itself where an open connection breaks.
HIDDEN = {"closed", "reset"}
# The venue will say the same again: how often it is asked in all.
PERMANENT = {
    "http_403": 2,
    "http_451": 2,
    "http_404": 4,
    "bad_symbol": 1,
    "illegal_character": 1,
    "bad_combination": 1,
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoxThread]:
    root = tmp_path_factory.mktemp("market") / "lake"
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=11,
            start=START,
            end=END,
            instruments=("BTC/USDT",),
            timeframes=(TimeFrame.MINUTE_1,),
            listings={"BTC/USDT": LISTED},
            outages=[OUTAGE],
            rate=0.02,
        )
    with BoxThread(root, clock_start=NOW) as box:
        box.root = root  # type: ignore[attr-defined]
        yield box


@pytest.fixture(autouse=True)
def _calm(box: BoxThread) -> None:
    box.control("reset")
    box.exchange.faults.queue.clear()


def truth(box: BoxThread, window: TimeRange) -> pa.Table:
    with Storage.open(box.root, read_only=True) as storage:  # type: ignore[attr-defined]
        tables = [
            storage.read_partition(each.partition) for each in storage.catalog.partitions(SERIES)
        ]
    rows = pa.concat_tables([table for table in tables if table is not None])
    return rows.filter(pa.array([ts in window for ts in rows["ts"].to_pylist()]))


def run(
    box: BoxThread,
    window: TimeRange = WINDOW,
    *,
    retry: Retry = QUICK,
    ledger: MemoryLedger | None = None,
    fault: str = "",
    count: int = 1,
    **more: object,
) -> list[Page]:
    """The pages of *window*, with *fault* in the way once the source is open."""

    async def main() -> list[Page]:
        source = await CcxtSource.open(
            BINANCE,
            base_url=box.url,
            ledger=ledger or MemoryLedger(),
            rate_share=1.0,
            retry=retry,
            timeout_s=0.3,
        )
        try:
            instrument = BTC
            if fault:
                box.control("faults", queue=[{"fault": fault, "count": count, **more}])
            asked = source.windows(SERIES, window)
            return await asyncio.gather(
                *(source.candles(instrument, SERIES, each) for each in asked)
            )
        finally:
            await source.close()

    return asyncio.run(main())


def _instrument() -> Instrument:
    from lake.domain.identifiers import InstrumentKind

    return Instrument(BINANCE, "BTCUSDT", "BTC/USDT", "BTCUSDT", InstrumentKind.SPOT, "BTC", "USDT")


BTC = _instrument()


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - set(PERMANENT)))
def test_a_fault_that_passes_is_asked_again_and_leaves_no_trace(box: BoxThread, fault: str) -> None:
    [page] = run(box, fault=fault)

    assert page.rows.equals(truth(box, WINDOW))
    assert [each.range for each in page.claims] == [WINDOW]
    assert (page.rejected, page.notes) == ((), ())
    assert box.exchange.faults.given.get(fault) == 1, "the fault was given"
    assert (page.requests == 1) == (fault in HARMLESS | HIDDEN)


@pytest.mark.parametrize(
    "fault",
    sorted(
        name
        for name, fault in FAULTS.items()
        if not fault.needs_rows and name not in {*PERMANENT, *HARMLESS, "hang", "code_1003"}
    ),
)
def test_a_fault_that_never_passes_is_an_error_and_not_an_empty_page(
    box: BoxThread, fault: str
) -> None:
    with pytest.raises(SourceError) as failure:
        run(box, retry=Retry(attempts=3, base_s=0), fault=fault, count=1_000)

    assert failure.value.retryable
    assert "BTCUSDT.BINANCE, 1m" in str(failure.value) or "answer" in str(failure.value)
    assert len(box.requests()) == (6 if fault in HIDDEN else 3)


@pytest.mark.parametrize("fault", sorted(PERMANENT))
def test_a_fault_that_stays_stops_the_job_at_once(box: BoxThread, fault: str) -> None:
    with pytest.raises(SourceError) as failure:
        run(box, retry=Retry(attempts=12, base_s=0), fault=fault, count=1_000)

    assert not failure.value.retryable
    assert len(box.requests()) == PERMANENT[fault]


def test_451_says_what_a_user_in_that_region_can_do(box: BoxThread) -> None:
    with pytest.raises(SourceError, match=r"BINANCEUS.*HTTPS_PROXY.*lake import"):
        run(box, fault="http_451", count=10)


@pytest.mark.parametrize("fault", ["empty_list", "short_list", "short_tail", "short_head"])
def test_lists_that_are_always_too_short_never_pass_for_the_truth(
    box: BoxThread, fault: str
) -> None:
    """Each time other candles are absent, so the answers contradict one another.

    An empty list every time, from each side, is what the end of data looks like: no client
    can tell it from the truth. It is asked for often enough that chance cannot do it.
    """
    if fault == "empty_list":
        [page] = run(box, fault=fault, count=1_000)
        assert page.requests >= 5
        assert all(each.evidence for each in page.claims)
        return

    with contextlib.suppress(SourceError):
        [page] = run(box, fault=fault, count=1_000)
        assert page.rows.equals(truth(box, WINDOW))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("nan_text", "close is not a positive number"),
        ("null_price", "open is not a positive number"),
        ("null_time", "no readable time"),
        ("short_row", "no readable time"),
        ("negative", "low is not a positive number"),
    ],
)
def test_rows_that_stay_odd_are_quarantined_with_what_the_venue_wrote(
    box: BoxThread, fault: str, reason: str
) -> None:
    """The same row is odd in each answer, so it is the venue's row and not the wire's."""
    box.control("faults", rate=0)
    spoiled = FAULTS[fault]

    def same_row(answer: Answer, now: Circumstances) -> Answer:
        rows = json.loads(answer.body)
        at = next((n for n, row in enumerate(rows) if row[0] == ODD_MS), None)
        return answer if at is None else spoiled.spoil(answer, replace(now, draw=at))

    FAULTS["_same_row"] = Fault(same_row, needs_rows=True)
    try:
        [page] = run(box, fault="_same_row", count=1_000)
    finally:
        del FAULTS["_same_row"]

    assert page.rows.num_rows == truth(box, WINDOW).num_rows - 1
    assert [each.reason for each in page.rejected] == [reason]
    assert page.rejected[0].raw.startswith("[")


@pytest.mark.parametrize("fault", ["http_429", "http_418", "code_1003"])
def test_being_asked_to_slow_down_pauses_every_worker(box: BoxThread, fault: str) -> None:
    ledger = MemoryLedger()

    with pytest.raises((TimeoutError, SourceError)):
        run_for(box, 0.4, ledger, fault, retry_after_s=30)

    until = ledger.banned_until(f"BINANCE at {box.url}")
    assert until is not None
    wait = 1 if fault == "code_1003" else 30
    assert abs(until - box.exchange.clock.now() - timedelta(seconds=wait)) < timedelta(seconds=2)
    assert len(box.requests()) == 1, "nobody asked again meanwhile"


def run_for(box: BoxThread, seconds: float, ledger: MemoryLedger, fault: str, **more: int) -> None:
    async def main() -> None:
        source = await CcxtSource.open(
            BINANCE, base_url=box.url, ledger=ledger, rate_share=1.0, retry=QUICK
        )
        box.control("faults", queue=[{"fault": fault, **more}])
        try:
            async with asyncio.timeout(seconds):
                await source.candles(BTC, SERIES, WINDOW)
        finally:
            await source.close()

    asyncio.run(main())


def test_a_long_ban_ends_the_job_with_the_time_it_ends(box: BoxThread) -> None:
    with pytest.raises(SourceError, match="another 60 minutes") as failure:
        run(box, fault="http_418", retry_after_s=3_600)

    assert failure.value.retry_after_s == pytest.approx(3_600, abs=5)


def test_no_network_is_said_within_a_second() -> None:
    async def main() -> None:
        await CcxtSource.open(BINANCE, base_url="http://127.0.0.1:1", ledger=MemoryLedger())

    began = time.monotonic()
    with pytest.raises(SourceError, match=r"BINANCE for its time: no connection.*HTTPS_PROXY"):
        asyncio.run(main())

    assert time.monotonic() - began < 5


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"rate share of 1\.5"):
        asyncio.run(CcxtSource.open(BINANCE, ledger=MemoryLedger(), rate_share=1.5))


def test_the_symbol_that_the_venue_does_not_know_is_named(box: BoxThread) -> None:
    async def main() -> None:
        source = await CcxtSource.open(BINANCE, base_url=box.url, ledger=MemoryLedger())
        try:
            await source.candles(replace(BTC, native_id="NOPE"), SERIES, WINDOW)
        finally:
            await source.close()

    with pytest.raises(SourceError, match="does not know this symbol") as failure:
        asyncio.run(main())

    assert not failure.value.retryable


WHOLE = TimeRange(START, END + timedelta(hours=12))


def everything_is_true(box: BoxThread, seed: int) -> None:
    """The whole market with 40 % faults: equal to the truth, each hole with its evidence."""
    box.control("faults", rate=0.4, seed=seed)

    pages = run(box, WHOLE, retry=PATIENT)

    assert pa.concat_tables([page.rows for page in pages]).equals(truth(box, WHOLE))
    claimed = [each for page in pages for each in page.claims]
    assert sum((each.range.duration for each in claimed), timedelta()) == WHOLE.duration
    holes = [each.range for each in claimed if each.evidence]
    absent = sum((each.duration for each in holes), timedelta())
    assert absent == (LISTED - START) + OUTAGE.duration + timedelta(hours=12)
    assert all(page.rejected == () and page.notes == () for page in pages)


@pytest.mark.parametrize("seed", range(4))
def test_forty_percent_faults_end_equal_to_the_truth(box: BoxThread, seed: int) -> None:
    everything_is_true(box, seed)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(100, 160))
def test_forty_percent_faults_end_equal_to_the_truth_sixty_times(box: BoxThread, seed: int) -> None:
    everything_is_true(box, seed)
