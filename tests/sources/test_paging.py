"""Trades by time and by token, against a venue in memory of each kind there is."""

from __future__ import annotations

import asyncio
import random
import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lake.domain.coverage import NOTHING_LATER
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.times import from_us, to_us
from lake.errors import SourceError
from lake.sources.answers import Retry
from lake.sources.capability import Paging
from lake.sources.cursor import Cursor
from lake.sources.decode import Decoded
from lake.sources.span_belief import SpanAsker
from lake.sources.span_walk import SpanWalk

START = datetime(2024, 1, 1)
START_US = to_us(START)
NOW = datetime(2024, 2, 1)
PAGE = 20
MS, SECOND = 1_000, 1_000_000
Row = tuple[int, int | None, str | None, float, float, int]


@dataclass
class Tape:
    """A venue's trades, handed out as its kind does.

    Attributes:
        rows: Ascending by time.
        paging: Its kind.
        cursor_us: The grain of its bounds.
        keeps_oldest: Which end of a full span is given (SPAN).
        honours_start: Whether BACK takes the start of a span.
        token: Whether a full answer names the next one.
        page: What it gives at most, whatever is asked.
        spoil: Changes an answer.
    """

    rows: list[Row]
    paging: Paging
    cursor_us: int = MS
    keeps_oldest: bool = False
    honours_start: bool = False
    token: bool = False
    page: int = PAGE
    spoil: Callable[[list[Row]], list[Row]] = lambda rows: rows
    asked: list[Cursor] = field(default_factory=list)

    async def __call__(self, cursor: Cursor) -> Decoded:
        self.asked.append(cursor)
        assert cursor.start_us is not None
        assert cursor.end_us is not None
        assert cursor.start_us % self.cursor_us == 0
        assert cursor.end_us % self.cursor_us == 0
        rows, following = self._honest(cursor, min(cursor.limit, self.page))
        found = self.spoil(rows)
        if found != rows:
            # What another answer says comes with what follows on that.
            following = self._following(found, following)
        return decoded(found, following if self.token else None)

    def _following(self, rows: list[Row], honest: str | None) -> str | None:
        places = {id(row): at for at, row in enumerate(self.rows)}
        found = [places[id(row)] for row in rows if id(row) in places]
        if not found:
            return honest
        return str(max(found) + 1 if self.paging is Paging.FORWARD else min(found))

    def _honest(self, cursor: Cursor, limit: int) -> tuple[list[Row], str | None]:
        start, end = cursor.start_us or 0, cursor.end_us or 0
        at = int(cursor.token) if cursor.token else None
        if self.paging is Paging.FORWARD:
            rows = [row for row in self.rows if row[0] >= start] if at is None else self.rows[at:]
            first = len(self.rows) - len(rows)
            found = rows[:limit]
            return found, str(first + limit) if len(rows) > limit else None
        if self.paging is Paging.BACK:
            rows = [row for row in self.rows if row[0] < end] if at is None else self.rows[:at]
            floor = start if self.honours_start else 0
            found = [row for row in rows if row[0] >= floor][-limit:]
            return found[::-1], str(len(rows) - len(found)) if len(rows) > len(found) else None
        rows = [row for row in self.rows if start <= row[0] < end]
        return (rows[:limit] if self.keeps_oldest else rows[-limit:]), None


def decoded(rows: list[Row], following: str | None) -> Decoded:
    columns = list(zip(*rows, strict=True)) if rows else [[], [], [], [], [], []]
    table = {
        "ts": pa.array(columns[0], pa.int64()),
        "price": pa.array(columns[3], pa.float64()),
        "quantity": pa.array(columns[4], pa.float64()),
        "taker": pa.array(columns[5], pa.int8()),
    }
    if rows and rows[0][1] is not None:
        table["trade_id"] = pa.array(columns[1], pa.int64())
    if rows and rows[0][2] is not None:
        table["trade_ref"] = pa.array(columns[2], pa.string())
    return Decoded(pa.table(table), lambda row: str(rows[row]), following)


def lively(draw: random.Random, count: int, ids: str, *, burst: int = 6) -> list[Row]:
    """Bursts of one time, pauses of minutes and of a day; many rows are equal to one another."""
    rows: list[Row] = []
    us, number, left = START_US, draw.randrange(10**6), 0
    for _ in range(count):
        if left:
            left -= 1
        else:
            us += draw.choice([1, 40, 1_000, 7_000, 700_001, 5_000_000, 90_000_000])
            us += draw.choice([0] * 60 + [86_400_000_000])
            left = draw.choice([0, 0, 0, 1, 2, burst])
        number += draw.choice([1, 1, 7])
        rows.append(
            (
                us,
                number if ids == "number" else None,
                f"ref-{number:09}" if ids == "text" else None,
                100.0 + draw.randrange(2),
                1.0 + draw.randrange(2),
                draw.choice([1, -1]),
            )
        )
    return rows


def walk(
    venue: Tape, window: TimeRange, *, now: datetime = NOW, whole_seconds: bool = False, **more: Any
) -> SpanWalk:
    async def clock() -> datetime:
        return now

    asker = SpanAsker(
        venue,
        paging=venue.paging,
        cursor_us=venue.cursor_us,
        retry=Retry(attempts=12, base_s=0),
        now=clock,
        whole_seconds=whole_seconds,
    )
    settled = now - timedelta(minutes=1)
    return SpanWalk(asker, window, page_size=PAGE, now=now, settled=settled, **more)


def pages_of(venue: Tape, window: TimeRange, **more: Any) -> list[Page]:
    async def collect() -> list[Page]:
        return [page async for page in walk(venue, window, **more).pages()]

    return asyncio.run(collect())


def pages_or_error(venue: Tape, window: TimeRange, **more: Any) -> list[Page] | SourceError:
    try:
        return pages_of(venue, window, **more)
    except SourceError as error:
        return error


def rows_of(pages: list[Page]) -> list[tuple[Any, ...]]:
    """What was stored, in its order."""
    rows = pa.concat_tables([page.rows for page in pages])
    assert rows["ts"].to_pylist() == sorted(rows["ts"].to_pylist())
    names = ("ts", "trade_id", "trade_ref", "price", "quantity", "side")
    columns = [rows[name].to_pylist() for name in names]
    return list(zip(*columns, strict=True))


def expected(venue: Tape, window: TimeRange, ids: str) -> list[tuple[Any, ...]]:
    """The truth, with what tells rows apart; a derived reference is compared by itself."""
    found = [
        (from_us(us), number, ref, price, quantity, "buy" if taker == 1 else "sell")
        for us, number, ref, price, quantity, taker in venue.rows
        if from_us(us) in window
    ]
    return sorted(found, key=repr) if ids == "none" else sorted(found)


def is_true(venue: Tape, window: TimeRange, pages: list[Page], ids: str) -> bool:
    found = rows_of(pages)
    if ids == "none":
        refs = [(row[0], row[2]) for row in found]
        assert len(set(refs)) == len(refs), "each trade has a reference of its own"
        assert None not in {row[2] for row in found}
        found = sorted([(*row[:2], None, *row[3:]) for row in found], key=repr)
    return found == expected(venue, window, ids)


def any_tape(draw: random.Random) -> tuple[Tape, str]:
    ids = draw.choice(["number", "text", "none"])
    paging = draw.choice([Paging.SPAN, Paging.BACK, Paging.FORWARD])
    cursor_us = draw.choice([1, MS, SECOND])
    # Shorter pages than were promised are found out, but not where one time fills them.
    is_short = cursor_us == 1 and draw.random() < 0.4
    tape = Tape(
        lively(draw, draw.randrange(1, 400), ids, burst=3 if is_short else draw.choice([3, 9, 24])),
        paging,
        cursor_us=cursor_us,
        keeps_oldest=draw.random() < 0.5,
        honours_start=draw.random() < 0.5,
        token=draw.random() < 0.5 and paging is not Paging.SPAN,
        page=15 if is_short else PAGE,
    )
    return tape, ids


def any_windows(draw: random.Random, tape: Tape) -> list[TimeRange]:
    """Windows that touch, from before all trades to after them; some end inside a burst."""
    last = tape.rows[-1][0] + 9_000_000_000
    cuts = {START_US - 5_000_000_000, last}
    cuts |= {draw.choice(tape.rows)[0] + draw.choice([0, 1]) for _ in range(3)}
    return [TimeRange(from_us(one), from_us(other)) for one, other in pairwise(sorted(cuts))]


def spoiled(draw: random.Random, tape: Tape, rate: float) -> Callable[[list[Row]], list[Row]]:
    """Answers of true rows, but the wrong ones: fewer, none, twice, another order, other times."""
    earlier: list[list[Row]] = []

    def spoil(rows: list[Row]) -> list[Row]:
        earlier.append(rows)
        if draw.random() >= rate:
            return rows
        first = draw.randrange(len(rows) + 1)
        return draw.choice(
            [
                lambda: rows[:first] + rows[first + draw.choice([1, 3, 9]) :],
                lambda: rows[:first],
                lambda: rows[first:],
                list,
                lambda: rows + rows[: draw.choice([1, 3, len(rows)])],
                lambda: draw.sample(rows, len(rows)),
                lambda: draw.choice(earlier),
                lambda: tape.rows[(at := draw.randrange(len(tape.rows))) : at + len(rows)],
                lambda: [(*row[:3], float("nan"), *row[4:]) for row in rows],
            ]
        )()

    return spoil


def walks_true(seed: int, rate: float) -> None:
    draw = random.Random(seed)
    tape, ids = any_tape(draw)
    for window in any_windows(draw, tape):
        tape.spoil = spoiled(draw, tape, rate) if rate else (lambda rows: rows)
        found = pages_or_error(tape, window, page_rows=draw.choice([1, 50, 10_000]))
        if isinstance(found, SourceError):
            # Loud, and only where a burst fills a page of a venue without tokens.
            assert rate or "as many as one answer" in str(found), found
            continue
        assert is_true(tape, window, found, ids), (tape.paging, ids, tape.cursor_us, window)
        assert found[0].window.start == window.start
        assert found[-1].window.end == window.end
        for one, other in pairwise(found):
            assert one.window.end == other.window.start
        claimed = sum((each.range.duration for p in found for each in p.claims), timedelta())
        assert claimed == window.duration


@pytest.mark.parametrize("seed", range(40))
def test_any_windows_that_touch_hold_every_trade_once(seed: int) -> None:
    walks_true(seed, 0.0)


@pytest.mark.parametrize("seed", range(40))
def test_faults_lose_nothing_in_silence(seed: int) -> None:
    walks_true(seed, 0.4)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(1_000, 3_000))
def test_faults_lose_nothing_in_silence_often(seed: int) -> None:
    walks_true(seed, 0.4)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(1_000, 3_000))
def test_any_windows_that_touch_hold_every_trade_once_often(seed: int) -> None:
    walks_true(seed, 0.0)


def steady(count: int, *, every_us: int = SECOND, ids: str = "number") -> list[Row]:
    return [
        (START_US + at * every_us, at if ids == "number" else None, None, 100.0, 1.0, 1)
        for at in range(count)
    ]


@pytest.mark.parametrize("paging", [Paging.SPAN, Paging.BACK, Paging.FORWARD])
def test_a_busy_market_takes_little_more_than_its_full_answers(paging: Paging) -> None:
    """2,000 trades are 100 answers of 20; the ends, and overlaps, take some more."""
    tape = Tape(steady(4_000, every_us=100 * MS), paging, keeps_oldest=True)

    pages = pages_of(tape, TimeRange(START, START + timedelta(seconds=200)))

    assert len(rows_of(pages)) == 2_000
    assert len(tape.asked) < 200
    assert sum(page.requests for page in pages) == len(tape.asked)


def test_equal_trades_without_ids_are_all_kept_also_where_answers_meet() -> None:
    rows: list[Row] = []
    for at in range(300):
        rows += [(START_US + at * 10 * MS, None, None, 100.0, 1.0, 1)] * 3
    tape = Tape(rows, Paging.FORWARD)

    pages = pages_of(tape, TimeRange(START, START + timedelta(seconds=5)), page_rows=50)

    found = rows_of(pages)
    assert len(found) == 900
    assert len({ref for _, _, ref, *_ in found}) == 900
    assert len(pages) > 5


def test_a_burst_that_fills_a_page_is_refused_loudly_where_no_token_leads_on() -> None:
    rows = steady(30) + [(START_US + 40 * SECOND, 100 + at, None, 1.0, 1.0, 1) for at in range(50)]

    for paging in (Paging.SPAN, Paging.BACK, Paging.FORWARD):
        with pytest.raises(SourceError, match="as many as one answer has"):
            pages_of(Tape(rows, paging), TimeRange(START, START + timedelta(minutes=2)))


@pytest.mark.parametrize("paging", [Paging.BACK, Paging.FORWARD])
def test_a_burst_that_fills_pages_is_read_on_by_token(paging: Paging) -> None:
    rows = steady(30) + [(START_US + 40 * SECOND, 100 + at, None, 1.0, 1.0, 1) for at in range(50)]
    tape = Tape(rows, paging, token=True)

    pages = pages_of(tape, TimeRange(START, START + timedelta(minutes=2)))

    assert [row[1] for row in rows_of(pages)] == [*range(30), *range(100, 150)]


def test_an_answer_from_farther_on_in_a_burst_is_no_vote_for_where_it_begins() -> None:
    """Its token goes on behind its own rows, so that those before them would be lost."""
    rows = [(START_US, 100 + at, None, 1.0, 1.0, 1) for at in range(50)]
    tape = Tape([*rows, (START_US + SECOND, 200, None, 1.0, 1.0, 1)], Paging.FORWARD, token=True)
    tape.spoil = lambda given: tape.rows[5:25] if len(tape.asked) == 3 else given

    pages = pages_of(tape, TimeRange(START, START + timedelta(seconds=2)))

    assert [row[1] for row in rows_of(pages)] == [*range(100, 150), 200]


def test_runs_read_downwards_are_given_up_when_they_outgrow_memory() -> None:
    """The first span holds far more than may be held: it is halved until it fits."""
    tape = Tape(steady(2_000, every_us=100 * MS), Paging.BACK)

    pages = pages_of(tape, TimeRange(START, START + timedelta(seconds=200)), most_held=100)

    assert len(rows_of(pages)) == 2_000


def test_a_venue_that_ignores_times_is_told_and_nothing_is_claimed() -> None:
    tape = Tape(steady(100), Paging.SPAN)
    tape.spoil = lambda rows: tape.rows[-10:]

    with pytest.raises(SourceError, match="ignores times"):
        pages_of(tape, TimeRange(START, START + timedelta(seconds=20)))


def test_silence_younger_than_an_hour_is_not_believed() -> None:
    """A venue that lags shows what a quiet venue shows."""
    now = START + timedelta(hours=3)
    tape = Tape(steady(10), Paging.BACK)

    pages = pages_of(tape, TimeRange(START, now), now=now)

    assert pages[-1].window.end == now - timedelta(minutes=1)
    assert max(each.range.end for page in pages for each in page.claims) == now - timedelta(hours=1)


@pytest.mark.parametrize("paging", [Paging.SPAN, Paging.BACK, Paging.FORWARD])
def test_a_silent_end_is_the_end_of_the_data_only_where_nothing_is_later(paging: Paging) -> None:
    """Else the next window's trades would put it in doubt, and it would be asked for again."""
    late = [(START_US + 9 * 3_600 * SECOND, 99, None, 1.0, 1.0, 1)]
    window = TimeRange(START, START + timedelta(hours=2))

    for rows, evidence in ((steady(10), NOTHING_LATER), (steady(10) + late, "")):
        pages = pages_of(Tape(rows, paging), window)

        assert pages[-1].claims[-1].range.end == window.end
        assert pages[-1].claims[-1].evidence == evidence


def test_an_answer_without_numbers_of_rows_that_stays_odd_is_set_aside() -> None:
    rows = steady(60)
    rows[30] = (*rows[30][:3], 0.0, *rows[30][4:])
    tape = Tape(rows, Paging.BACK)

    pages = pages_of(tape, TimeRange(START, START + timedelta(minutes=2)))

    assert len(rows_of(pages)) == 59
    [rejected] = {each for page in pages for each in page.rejected}
    assert rejected.reason == "price is not a positive number"


DAY_TRADES = 15_000_000


class Stream(Tape):
    """A day of 15 million trades, made when asked for: nothing but the walk holds any."""

    async def __call__(self, cursor: Cursor) -> Decoded:
        assert cursor.start_us is not None
        assert cursor.end_us is not None
        step = 86_400 * SECOND // DAY_TRADES
        first = max(0, -(-(cursor.start_us - START_US) // step))
        stop = min(DAY_TRADES, -(-(cursor.end_us - START_US) // step))
        if self.paging is Paging.FORWARD:
            stop = min(DAY_TRADES, first + cursor.limit)
        numbers = np.arange(max(first, stop - cursor.limit, 0), max(stop, 0), dtype=np.int64)
        if self.paging is Paging.BACK:
            numbers = np.arange(max(0, stop - cursor.limit), max(stop, 0), dtype=np.int64)[::-1]
        ones = np.ones(len(numbers))
        table = pa.table(
            {
                "ts": START_US + numbers * step,
                "trade_id": numbers,
                "price": ones,
                "quantity": ones,
                "taker": ones.astype(np.int8),
            }
        )
        return Decoded(table, lambda row: "", None)


@pytest.mark.torture
@pytest.mark.parametrize("paging", [Paging.SPAN, Paging.BACK, Paging.FORWARD])
def test_a_day_of_fifteen_million_trades_streams_in_bounded_memory(paging: Paging) -> None:
    async def count() -> tuple[int, int]:
        asker = SpanAsker(Stream([], paging), paging=paging, cursor_us=MS, retry=Retry(), now=clock)
        window = TimeRange(START, START + timedelta(days=1))
        walk = SpanWalk(asker, window, page_size=1_000, now=NOW, settled=NOW - timedelta(minutes=1))
        rows = longest = 0
        async for page in walk.pages():
            rows += page.rows.num_rows
            longest = max(longest, page.rows.num_rows)
        return rows, longest

    async def clock() -> datetime:
        return NOW

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows, longest = asyncio.run(count())
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1_024

    assert rows == DAY_TRADES
    assert longest < 200_000
    assert grown_mib < 200, grown_mib
