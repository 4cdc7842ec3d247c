"""Settlements of venues of each kind: spans, backwards, forwards, whole, and page by page."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.times import to_us
from lake.errors import SourceError
from lake.sources.answers import Retry
from lake.sources.capability import Paging
from lake.sources.cursor import Cursor
from lake.sources.decode import Decoded
from lake.sources.funding_walk import FundingWalk

START, NOW = datetime(2023, 1, 1), datetime(2024, 1, 1)
PAGE = 100
SECOND = 1_000_000
Row = tuple[int, float]
KINDS = [
    (Paging.SPAN, True),
    (Paging.BACK, True),
    (Paging.FORWARD, True),
    (Paging.WHOLE, True),
    (Paging.BACK, False),
]


@dataclass
class Perpetual:
    """Settlements up to 47 ms late, handed out as a venue of its kind does.

    Attributes:
        moments: When they were due.
        seeks: Whether requests can name times; else pages are numbered from the newest.
        page: What one answer has at most.
        spoil: Changes an answer.
    """

    moments: list[datetime]
    paging: Paging
    seeks: bool = True
    cursor_us: int = 1_000
    page: int = PAGE
    spoil: Callable[[list[Row]], list[Row]] = lambda rows: rows
    asked: list[Cursor] = field(default_factory=list)

    def __post_init__(self) -> None:
        late = 1_000 if self.cursor_us == 1_000 else 0
        self.rows = [
            (to_us(each) + at % 48 * late, (at % 9) / 10_000)
            for at, each in enumerate(self.moments)
        ]

    async def __call__(self, cursor: Cursor) -> Decoded:
        self.asked.append(cursor)
        start, end = cursor.start_us or 0, cursor.end_us or 0
        assert start % self.cursor_us == end % self.cursor_us == 0
        following = None
        if self.paging is Paging.WHOLE:
            found = self.rows
        elif not self.seeks:
            number = int(cursor.token or 1)
            newest = self.rows[::-1]
            found = newest[(number - 1) * self.page : number * self.page]
            following = str(number + 1)
        elif self.paging is Paging.BACK:
            found = [row for row in self.rows if row[0] < end][-self.page :][::-1]
        elif self.paging is Paging.FORWARD:
            found = [row for row in self.rows if row[0] >= start][: self.page]
        else:
            found = [row for row in self.rows if start <= row[0] < end][: self.page]
        found = self.spoil(found)
        table = {
            "settled_at": pa.array([row[0] // 1_000 for row in found], pa.int64()),
            "funding_rate": pa.array([row[1] for row in found], pa.float64()),
        }
        return Decoded(pa.table(table), lambda row: str(found[row]), following)


def changing(draw: random.Random) -> list[datetime]:
    """Intervals of 8, 4 and 1 hours in any order, some settlements missing, an end long ago."""
    found, moment = [], START + timedelta(days=draw.randrange(40))
    for hours in draw.sample([8, 4, 1], 3):
        for _ in range(draw.randrange(20, 260)):
            found.append(moment)
            moment += timedelta(hours=hours)
        if draw.random() < 0.3:
            moment += timedelta(days=draw.randrange(1, 9))
    return found


def pages_of(venue: Perpetual, window: TimeRange, *, now: datetime = NOW) -> list[Page]:
    async def clock() -> datetime:
        return now

    async def collect() -> list[Page]:
        walk = FundingWalk(
            venue,
            window,
            retry=Retry(attempts=12, base_s=0),
            page_size=venue.page,
            clock=clock,
            now=now,
            settled=now - timedelta(minutes=10),
            paging=venue.paging,
            seeks=venue.seeks,
            cursor_us=venue.cursor_us,
            whole_seconds=venue.cursor_us == SECOND,
        )
        return [page async for page in walk.pages()]

    return asyncio.run(collect())


def rows_of(pages: list[Page]) -> list[tuple[datetime, float]]:
    rows = pa.concat_tables([page.rows for page in pages])
    return list(zip(rows["ts"].to_pylist(), rows["funding_rate"].to_pylist(), strict=True))


def truth(venue: Perpetual, window: TimeRange) -> list[tuple[datetime, float]]:
    pairs = zip(venue.moments, venue.rows, strict=True)
    return [(moment, row[1]) for moment, row in pairs if moment in window]


def spoiled(draw: random.Random, venue: Perpetual, rate: float) -> Callable[[list[Row]], list[Row]]:
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
                lambda: rows + rows[:3],
                lambda: draw.sample(rows, len(rows)),
                lambda: draw.choice(earlier),
                lambda: venue.rows[(at := draw.randrange(len(venue.rows))) : at + len(rows)],
                lambda: [(row[0], float("nan")) for row in rows],
            ]
        )()

    return spoil


def comes_back(paging: Paging, seeks: bool, seed: int, rate: float) -> None:
    draw = random.Random(seed)
    cursor_us = draw.choice([1_000, SECOND])
    venue = Perpetual(changing(draw), paging, seeks, cursor_us)
    edges = sorted(draw.sample(range(340), 2))
    window = TimeRange(*(START + timedelta(days=each, hours=draw.randrange(9)) for each in edges))
    if rate:
        venue.spoil = spoiled(draw, venue, rate)
    found: list[Page] | SourceError = pages_or_error(venue, window)

    if isinstance(found, SourceError):
        assert rate, found
        return
    assert rows_of(found) == truth(venue, window)
    assert found[0].window.start == window.start
    assert found[-1].window.end == window.end
    claimed = sum((each.range.duration for page in found for each in page.claims), timedelta())
    assert claimed == window.duration


def pages_or_error(venue: Perpetual, window: TimeRange, **more: Any) -> list[Page] | SourceError:
    try:
        return pages_of(venue, window, **more)
    except SourceError as error:
        return error


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("paging", "seeks"), KINDS)
def test_any_window_comes_back_whole(paging: Paging, seeks: bool, seed: int) -> None:
    comes_back(paging, seeks, seed, 0.0)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("paging", "seeks"), KINDS)
def test_faults_lose_nothing_in_silence(paging: Paging, seeks: bool, seed: int) -> None:
    comes_back(paging, seeks, seed, 0.4)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(100, 400))
@pytest.mark.parametrize(("paging", "seeks"), KINDS)
def test_faults_lose_nothing_in_silence_often(paging: Paging, seeks: bool, seed: int) -> None:
    comes_back(paging, seeks, seed, 0.4)


def every(hours: int, days: int) -> list[datetime]:
    return [START + timedelta(hours=hours * at) for at in range(days * 24 // hours)]


@pytest.mark.parametrize(("paging", "seeks"), KINDS)
def test_even_settlements_are_believed_at_once(paging: Paging, seeks: bool) -> None:
    """300 days of eight hours are nine pages of 100, and what overlaps."""
    venue = Perpetual(every(8, 365), paging, seeks)
    window = TimeRange(START + timedelta(days=30), START + timedelta(days=330))

    pages = pages_of(venue, window, now=START + timedelta(days=364))

    assert rows_of(pages) == truth(venue, window)
    assert len(venue.asked) <= 45


def test_pages_that_shift_under_the_reader_lose_nothing() -> None:
    """A settlement that comes while pages are read moves all others on by one."""
    venue = Perpetual(every(8, 365), Paging.BACK, seeks=False)
    late = venue.rows.pop(-5), venue.rows.pop(-4)

    def spoil(rows: list[Row]) -> list[Row]:
        if len(venue.asked) in (4, 9):
            venue.rows.insert(len(venue.rows) - 2, late[len(venue.asked) == 9])
        return rows

    venue.spoil = spoil
    window = TimeRange(START + timedelta(days=30), START + timedelta(days=330))

    assert rows_of(pages_of(venue, window)) == truth(Perpetual(every(8, 365), Paging.SPAN), window)


def test_a_venue_that_ignores_times_is_told_and_nothing_is_claimed() -> None:
    venue = Perpetual(every(8, 365), Paging.SPAN)
    venue.spoil = lambda rows: venue.rows[-20:]

    with pytest.raises(SourceError, match="another time than asked for"):
        pages_of(venue, TimeRange(START, START + timedelta(days=20)))
