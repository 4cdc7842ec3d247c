"""The walk over trade ids, against a venue in memory with each of the oddities there are."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest

from lake.domain.identifiers import Instrument, InstrumentKind, Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.times import to_us
from lake.errors import SourceError
from lake.sources.answers import Retry
from lake.sources.binance_rows import decode_agg_trades
from lake.sources.cursor import Cursor
from lake.sources.decode import Decoded
from lake.sources.trade_answers import TradeAsker
from lake.sources.trade_border import TradeMap
from lake.sources.trade_walk import TradeWalk

BTC = Instrument(
    Venue("BINANCE"), "BTCUSDT", "BTC/USDT", "BTCUSDT", InstrumentKind.SPOT, "BTC", "USDT"
)
START = datetime(2024, 1, 1)
START_MS = 1_704_067_200_000
NOW = datetime(2024, 2, 1)
PAGE = 50
HOUR = timedelta(hours=1)
Row = dict[str, Any]


@dataclass
class Exchange:
    """Trades by id and time, answered as Binance does.

    Attributes:
        rows: Ascending by id.
        page_cap: Pages are cut there without a word.
        keeps_oldest: Which end of a span that holds more than the limit is given.
        spoil: Changes an answer; told how many there were before it.
    """

    rows: list[Row]
    page_cap: int = 1_000
    keeps_oldest: bool = True
    spoil: Callable[[list[Row], int], list[Row]] = lambda rows, asked: rows
    asked: list[Cursor] = field(default_factory=list)
    under_way: int = 0
    is_busy: asyncio.Event = field(default_factory=asyncio.Event)
    most_under_way: int = 0

    async def __call__(self, cursor: Cursor) -> Decoded:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        if self.under_way == 3:
            self.is_busy.set()
        try:
            await asyncio.sleep(0)
            rows = self._honest(cursor)
            rows = self.spoil([dict(row) for row in rows], len(self.asked))
            self.asked.append(cursor)
            return decode_agg_trades(json.dumps(rows).encode(), BTC)
        finally:
            self.under_way -= 1

    def _honest(self, cursor: Cursor) -> list[Row]:
        limit = min(cursor.limit, self.page_cap)
        if cursor.from_id is not None:
            return [row for row in self.rows if row["a"] >= cursor.from_id][:limit]
        inside = [
            row
            for row in self.rows
            if (cursor.start_us or 0) <= row["T"] * 1_000 < (cursor.end_us or 10**18)
        ]
        if cursor.start_us is not None and self.keeps_oldest:
            return inside[:limit]
        return inside[-limit:]


def trade(number: int, ms: int, **changes: Any) -> Row:
    return {
        "a": number,
        "p": "100.5",
        "q": f"{1 + number % 7}",
        "f": number * 2,
        "l": number * 2 + 1,
        "T": START_MS + ms,
        "m": number % 3 == 0,
        **changes,
    }


def lively(draw: random.Random, count: int, *, first: int = 1) -> list[Row]:
    """Bursts of one millisecond, and pauses of minutes."""
    rows, ms = [], 0
    for number in range(first, first + count):
        ms += draw.choice([0, 0, 0, 1, 3, 700, 5_000, 200_000])
        rows.append(trade(number, ms))
    return rows


def walk(
    venue: Exchange,
    window: TimeRange,
    *,
    known: TradeMap | None = None,
    now: datetime = NOW,
    page_rows: int = 32_768,
) -> TradeWalk:
    async def clock() -> datetime:
        return now

    return TradeWalk(
        TradeAsker(venue, retry=Retry(attempts=3, base_s=0), now=clock),
        window,
        known or TradeMap(),
        page_size=PAGE,
        concurrency=4,
        now=now,
        settled=now - timedelta(minutes=1),
        page_rows=page_rows,
    )


def pages_of(venue: Exchange, window: TimeRange, **more: Any) -> list[Page]:
    async def collect() -> list[Page]:
        return [page async for page in walk(venue, window, **more).pages()]

    return asyncio.run(collect())


def ids(pages: list[Page]) -> list[int]:
    rows = pa.concat_tables([page.rows for page in pages])
    assert rows["ts"].to_pylist() == sorted(rows["ts"].to_pylist())
    found: list[int] = rows["trade_id"].to_pylist()
    return found


def expected(venue: Exchange, window: TimeRange) -> list[int]:
    inside = [
        row for row in venue.rows if to_us(window.start) <= row["T"] * 1_000 < to_us(window.end)
    ]
    return [row["a"] for row in sorted(inside, key=lambda row: (row["T"], row["a"]))]


def ms(number: int) -> datetime:
    return START + timedelta(milliseconds=number)


@pytest.mark.parametrize("seed", range(40))
def test_any_windows_that_touch_hold_every_trade_once(seed: int) -> None:
    """Wherever windows end, also inside a burst of one millisecond; before and after all trades."""
    draw = random.Random(seed)
    venue = Exchange(
        lively(draw, draw.randrange(1, 900), first=draw.choice([0, 1, 40, 10**9])),
        page_cap=draw.choice([30, 1_000]),
        keeps_oldest=draw.random() < 0.5,
    )
    last = venue.rows[-1]["T"] - START_MS
    cuts = sorted(
        {-5_000_000, last + 9_000_000}
        | {draw.choice(venue.rows)["T"] - START_MS + draw.choice([0, 1]) for _ in range(5)}
    )
    known = TradeMap()

    found = []
    for begin, end in pairwise(cuts):
        window = TimeRange(ms(begin), ms(end))
        pages = pages_of(venue, window, known=known)
        assert ids(pages) == expected(venue, window)
        assert pages[0].window.start == window.start
        assert pages[-1].window.end == window.end
        assert sum((each.range.duration for p in pages for each in p.claims), timedelta()) == (
            window.duration
        )
        found += ids(pages)

    assert found == [row["a"] for row in venue.rows]


def test_pages_end_between_times_and_follow_one_another() -> None:
    venue = Exchange([trade(number, number // 40 * 1_500) for number in range(1, 1_000)])
    window = TimeRange(START, ms(34_000))

    pages = pages_of(venue, window, page_rows=60)

    assert len(pages) > 5
    assert ids(pages) == expected(venue, window)
    for one, other in pairwise(pages):
        assert one.window.end == other.window.start
    for page in pages:
        assert all(ts in page.window for ts in page.rows["ts"].to_pylist())
        assert [each.range for each in page.claims] == [page.window]
    assert sum(page.requests for page in pages) == len(venue.asked)


def test_requests_run_ahead_but_no_further_than_told() -> None:
    venue = Exchange([trade(number, number * 10) for number in range(1, 3_000)])

    pages_of(venue, TimeRange(START, ms(20_000)))

    assert venue.most_under_way == 4
    # 2,000 trades are 40 pages; the border and the end take a few more.
    assert len(venue.asked) < 50


def test_leaving_early_leaves_no_request_behind() -> None:
    venue = Exchange([trade(number, number * 10) for number in range(1, 3_000)])

    async def leave() -> None:
        pages: AsyncGenerator[Page, None] = walk(venue, TimeRange(START, START + HOUR)).pages()
        task = asyncio.ensure_future(anext(pages))
        await venue.is_busy.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await pages.aclose()
        assert venue.under_way == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(leave())


def test_ids_that_do_not_exist_are_believed_after_agreeing_answers_and_noted() -> None:
    rows = [trade(number, number * 100) for number in range(1, 400) if not 120 <= number < 260]
    venue = Exchange([row for row in rows if row["a"] != 305])
    window = TimeRange(START, ms(39_000))

    pages = pages_of(venue, window)

    assert ids(pages) == expected(venue, window)
    notes = [note for page in pages for note in page.notes]
    assert {note.kind for note in notes} == {"absent_ids"}
    assert "the venue has no trade id 305" in {note.text for note in notes}
    assert [note.ts for note in notes if note.text.endswith("id 305")] == [ms(30_600)]


@pytest.mark.parametrize("drop", ["head", "middle", "tail", "all"])
@pytest.mark.parametrize("which", range(12))
def test_one_answer_that_lacks_rows_loses_nothing(drop: str, which: int) -> None:
    """The hardest faults: every row that is there is true."""
    venue = Exchange([trade(number, number * 100) for number in range(1, 400)])
    window = TimeRange(ms(4_321), ms(30_000))

    def spoil(rows: list[Row], asked: int) -> list[Row]:
        if asked != which:
            return rows
        cut = {"head": rows[3:], "middle": rows[:4] + rows[9:], "tail": rows[:-5], "all": []}
        return cut[drop]

    venue.spoil = spoil

    pages = pages_of(venue, window)

    assert ids(pages) == expected(venue, window)
    assert all(page.notes == () for page in pages)


@pytest.mark.parametrize("seed", range(30))
def test_every_third_answer_lacking_rows_loses_nothing(seed: int) -> None:
    draw = random.Random(seed)
    venue = Exchange(lively(draw, 700))
    window = TimeRange(START, ms(venue.rows[-1]["T"] - START_MS + 1))

    def spoil(rows: list[Row], asked: int) -> list[Row]:
        if draw.random() > 0.33 or not rows:
            return rows
        first = draw.randrange(len(rows))
        last = draw.choice([first + 1, first + 5, len(rows)])
        return rows[:first] + rows[last:]

    venue.spoil = spoil

    assert ids(pages_of(venue, window)) == expected(venue, window)


def test_a_row_that_stays_odd_is_set_aside_and_its_id_is_not_a_hole() -> None:
    """Binance's oldest aggregates have rows with price 0 and no fills."""
    rows = [trade(number, number * 100) for number in range(1, 400)]
    rows[199] |= {"p": "0.00", "q": "0.00", "f": -1, "l": -1}
    venue = Exchange(rows)
    window = TimeRange(START, ms(39_000))

    pages = pages_of(venue, window)

    assert ids(pages) == [each for each in expected(venue, window) if each != 200]
    [rejected] = [each for page in pages for each in page.rejected]
    assert (rejected.ts, rejected.reason) == (ms(20_000), "price is not a positive number")
    assert all(page.notes == () for page in pages)


def test_a_row_that_is_odd_once_leaves_no_trace() -> None:
    venue = Exchange([trade(number, number * 100) for number in range(1, 200)])
    venue.spoil = lambda rows, asked: (
        [row | {"p": "NaN"} if row["a"] == 90 else row for row in rows] if asked == 3 else rows
    )
    window = TimeRange(START, ms(19_000))

    pages = pages_of(venue, window)

    assert ids(pages) == expected(venue, window)
    assert all(page.rejected == () for page in pages)


def test_trades_whose_times_are_swapped_stay_in_their_windows() -> None:
    """Ids follow the matching engine; a time may be some milliseconds behind its neighbour's."""
    draw = random.Random(4)
    venue = Exchange(
        [trade(number, number * 100 + draw.randrange(-400, 400)) for number in range(10, 900)]
    )
    cuts = [0, 20_000, 20_050, 47_111, 91_000]

    found = []
    for begin, end in pairwise(cuts):
        window = TimeRange(ms(begin), ms(end))
        assert ids(pages_of(venue, window)) == expected(venue, window)
        found += expected(venue, window)

    assert sorted(found) == [row["a"] for row in venue.rows]


def test_the_newest_trades_are_not_final_and_silence_near_now_is_not_believed() -> None:
    """A venue that lags shows what a quiet venue shows."""
    now = START + timedelta(hours=10)
    venue = Exchange([trade(number, number * 1_000) for number in range(1, 34_200)])
    window = TimeRange(START + timedelta(hours=9), START + timedelta(hours=12))

    [page] = pages_of(venue, window, now=now)

    assert page.window == TimeRange(window.start, now - timedelta(minutes=1))
    assert page.rows.num_rows == 1_800
    assert page.claims[-1].range.end == START + timedelta(hours=9, minutes=29, seconds=59)


def test_silence_an_hour_ago_is_believed_with_its_evidence() -> None:
    now = START + timedelta(hours=10)
    venue = Exchange([trade(number, number * 1_000) for number in range(1, 100)])
    window = TimeRange(START, START + timedelta(hours=12))

    [page] = pages_of(venue, window, now=now)

    assert [(each.range.start, each.range.end, bool(each.evidence)) for each in page.claims] == [
        (START, ms(99_000), False),
        (ms(99_000), START + timedelta(hours=9), True),
    ]


def test_a_window_after_all_trades_is_empty_on_evidence() -> None:
    venue = Exchange([trade(number, number * 1_000) for number in range(1, 100)])
    window = TimeRange(START + 5 * HOUR, START + 6 * HOUR)

    [page] = pages_of(venue, window)

    assert page.rows.num_rows == 0
    assert [each.range for each in page.claims] == [window]
    assert page.claims[0].evidence
    assert len(venue.asked) >= 5


def test_a_window_that_is_not_final_yet_has_no_pages() -> None:
    assert pages_of(Exchange([]), TimeRange(NOW, NOW + HOUR)) == []


def test_answers_that_never_agree_end_as_an_error() -> None:
    venue = Exchange([trade(number, number * 100) for number in range(1, 400)])
    draw = random.Random(1)
    venue.spoil = lambda rows, asked: sorted(
        draw.sample(rows, len(rows) // 2), key=lambda row: row["a"]
    )

    with pytest.raises(SourceError, match="contradict"):
        pages_of(venue, TimeRange(START, ms(39_000)))


def test_an_answer_with_trades_of_other_ids_than_asked_for_is_refused() -> None:
    venue = Exchange([trade(number, number * 100) for number in range(1, 400)])
    venue.spoil = lambda rows, asked: [trade(1, 100)] if asked > 2 else rows

    with pytest.raises(SourceError, match="begins with trade 1"):
        pages_of(venue, TimeRange(ms(20_000), ms(39_000)))


def test_a_later_window_begins_where_the_one_before_ended() -> None:
    venue = Exchange([trade(number, number * 100) for number in range(1, 40_000)])
    known = TradeMap()
    pages_of(venue, TimeRange(ms(100_000), ms(110_000)), known=known)
    venue.asked.clear()

    pages_of(venue, TimeRange(ms(110_000), ms(110_001)), known=known)

    assert len(venue.asked) == 1, "the border was known"
