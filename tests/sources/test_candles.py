"""The strict fetch of one window, against a venue in memory that follows Binance's rules."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from lake.domain.coverage import Basis
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.timeframe import Grid, TimeFrame
from lake.domain.times import from_us, to_us
from lake.errors import SourceError
from lake.sources.answers import Asker, Retry, Rules, first_candle
from lake.sources.candles import Sightings, WindowFetch
from lake.sources.decode import Decoded

DAY = datetime(2024, 1, 1)
GRID = Grid(TimeFrame.MINUTE_1)
SIZE = 100
SETTLE = timedelta(minutes=2)
Row = dict[str, Any]
Spoil = Callable[[list[Row], int], list[Row]]


def at(minute: int) -> datetime:
    return DAY + timedelta(minutes=minute)


def span(start: int, end: int) -> TimeRange:
    return TimeRange(at(start), at(end))


def candle(minute: int) -> Row:
    price = 100.0 + minute % 7
    return {
        "ts": to_us(at(minute)) // 1_000,
        "open": price,
        "high": price + 1,
        "low": price - 1,
        "close": price,
        "volume": float(minute % 11),
    }


class MemoryVenue:
    """Candles at the given minutes; *spoil* alters the n-th answer's rows.

    Without a last bound answers reach past gaps; the running candle is shown, as at Binance.
    ``cap`` is a page size that the venue keeps to whatever is asked; a *hiding* venue gives the
    newest candles of what was asked for and does not show the running one.
    """

    def __init__(
        self,
        minutes: Iterable[int],
        *,
        now: int = 10_000,
        spoil: Spoil = lambda rows, n: rows,
        cap: int = 10_000,
        hiding: bool = False,
    ) -> None:
        self.minutes = sorted(minutes)
        self.now = now
        self.spoil = spoil
        self.cap = cap
        self.hiding = hiding
        self.asked: list[tuple[int | None, int | None, int]] = []

    async def time(self) -> datetime:
        return at(self.now) + timedelta(seconds=30)

    async def __call__(self, first: int | None, last: int | None, limit: int) -> Decoded:
        self.asked.append((first, last, limit))
        low = -(10**9) if first is None else (first - to_us(DAY)) / 60e6
        high = 10**9 if last is None else (last - to_us(DAY)) / 60e6
        shown = self.now - 1 if self.hiding else self.now
        found = [each for each in self.minutes if low <= each <= min(high, shown)]
        limit = min(limit, self.cap)
        found = found[-limit:] if first is None or self.hiding else found[:limit]
        rows = self.spoil([candle(each) for each in found], len(self.asked))
        table = pa.Table.from_pylist(rows, schema=_TYPES)
        return Decoded(table, lambda row: repr(rows[row]))


_TYPES = pa.schema(
    [("ts", pa.int64())]
    + [(name, pa.float64()) for name in ("open", "high", "low", "close", "volume")]
    + [("closed", pa.bool_())]
)


def fetch(
    venue: MemoryVenue,
    window: TimeRange,
    *,
    open_ended: bool = True,
    hole_answers: int = 3,
    sightings: Sightings | None = None,
    settle: timedelta = SETTLE,
) -> Page:
    rules = Rules(GRID, SIZE, hole_answers, open_ended, Retry(attempts=12, base_s=0))
    fetching = WindowFetch(
        venue,
        window,
        rules,
        now=venue.time,
        settled_until=lambda now: GRID.floor(now - settle),
        sightings=sightings or Sightings(),
    )
    return asyncio.run(fetching.page())


def minutes(page: Page) -> list[int]:
    return [(ts - DAY) // timedelta(minutes=1) for ts in page.rows["ts"].to_pylist()]


def claims(page: Page) -> list[tuple[int, int, str]]:
    assert all(each.basis is Basis.ANSWER for each in page.claims)
    return [
        (
            (each.range.start - DAY) // timedelta(minutes=1),
            (each.range.end - DAY) // timedelta(minutes=1),
            each.evidence,
        )
        for each in page.claims
    ]


PAST = "later answers reach past it"
END = "answers with other bounds end before it"


def test_a_full_page_takes_one_request_and_needs_no_evidence() -> None:
    venue = MemoryVenue(range(500))

    page = fetch(venue, span(100, 200))

    assert minutes(page) == list(range(100, 200))
    assert claims(page) == [(100, 200, "")]
    assert page.requests == len(venue.asked) == 1


def test_a_hole_is_believed_when_other_answers_reach_past_it() -> None:
    venue = MemoryVenue([*range(150), *range(160, 500)])

    page = fetch(venue, span(100, 200))

    assert minutes(page) == [*range(100, 150), *range(160, 200)]
    assert claims(page) == [(100, 150, ""), (150, 160, PAST), (160, 200, "")]
    assert page.requests == 3
    assert len(set(venue.asked)) == 3, "each confirmation has bounds of its own"
    assert all(last is None for _, last, _ in venue.asked[1:])


def test_a_window_wholly_inside_a_long_hole_is_covered() -> None:
    venue = MemoryVenue([*range(50), *range(5_000, 5_100)])

    page = fetch(venue, span(1_000, 1_100))

    assert minutes(page) == []
    assert claims(page) == [(1_000, 1_100, PAST)]


def test_nothing_before_the_listing_is_believed_since_the_listing_is_seen() -> None:
    page = fetch(MemoryVenue(range(250, 500)), span(200, 300))

    assert claims(page) == [(200, 250, PAST), (250, 300, "")]


def test_the_end_of_data_needs_five_agreeing_answers() -> None:
    """Nothing lies beyond it that an answer could show, so an empty list proves little."""
    venue = MemoryVenue(range(250))

    page = fetch(venue, span(200, 300))

    assert claims(page) == [(200, 250, ""), (250, 300, END)]
    assert page.requests >= 5
    assert len(set(venue.asked)) >= 5


def test_later_windows_after_the_end_build_on_the_answers_of_earlier_ones() -> None:
    venue, sightings = MemoryVenue(range(250)), Sightings()
    fetch(venue, span(200, 300), sightings=sightings)
    before = len(venue.asked)

    page = fetch(venue, span(300, 400), sightings=sightings)

    assert claims(page) == [(300, 400, END)]
    assert len(venue.asked) - before < 5


def test_what_has_not_settled_is_given_and_not_claimed() -> None:
    """At 00:59:30 the minute 58 has closed; until 57:30 candles may still be corrected."""
    venue = MemoryVenue(range(60), now=59)

    page = fetch(venue, span(0, 100))

    assert minutes(page) == list(range(59))
    assert claims(page) == [(0, 57, "")]
    assert page.requests == 1


def test_the_last_candles_of_a_venue_that_lags_are_not_believed_absent() -> None:
    """Seven have settled by its clock and are not shown yet; that is not the end of data.

    Nor is the last one shown believed: to a copy that lags it may be the running one.
    """
    venue = MemoryVenue(range(50), now=59)

    page = fetch(venue, span(0, 100))

    assert minutes(page) == list(range(50))
    assert claims(page) == [(0, 49, "")]


def test_an_hour_after_its_close_an_absent_last_candle_is_believed_absent() -> None:
    page = fetch(MemoryVenue(range(50), now=119), span(0, 100))

    # At 01:59:30 this holds for what closed by 00:59:30.
    assert claims(page) == [(0, 50, ""), (50, 59, END)]


def test_a_window_that_has_not_settled_at_all_claims_nothing() -> None:
    page = fetch(MemoryVenue(range(60), now=59), span(57, 100))

    assert (minutes(page), page.claims) == ([57, 58], ())


def test_the_running_candle_shows_that_data_goes_on() -> None:
    """A hole at the live edge is not the end of data."""
    venue = MemoryVenue([*range(40), 99, 100], now=100)

    page = fetch(venue, span(0, 90))

    assert claims(page) == [(0, 40, ""), (40, 90, PAST)]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows, n: rows[:10] if n == 1 else rows,
        lambda rows, n: rows[70:] if n == 1 else rows,
        lambda rows, n: [*rows[:40], *rows[45:]] if n == 1 else rows,
        lambda rows, n: [] if n == 1 else rows,
        lambda rows, n: [] if n <= 3 else rows,
        lambda rows, n: [*rows[:40], *rows[45:]] if n in (1, 3) else rows,
    ],
    ids=["tail", "head", "middle", "empty", "three empty", "middle twice"],
)
def test_a_valid_but_short_answer_leaves_no_hole(spoil: Spoil) -> None:
    page = fetch(MemoryVenue(range(500), spoil=spoil), span(100, 200))

    assert minutes(page) == list(range(100, 200))
    assert claims(page) == [(100, 200, "")]
    assert page.requests > 1


def test_a_row_that_is_odd_once_is_asked_for_again() -> None:
    def spoil(rows: list[Row], n: int) -> list[Row]:
        return [{**rows[0], "low": -1.0}, *rows[1:]] if n == 1 else rows

    page = fetch(MemoryVenue(range(500), spoil=spoil), span(100, 200))

    assert minutes(page) == list(range(100, 200))
    assert page.rejected == ()


def test_a_row_that_is_odd_every_time_goes_to_quarantine() -> None:
    def spoil(rows: list[Row], n: int) -> list[Row]:
        return [
            {**row, "low": -1.0} if row["ts"] == to_us(at(150)) // 1_000 else row for row in rows
        ]

    page = fetch(MemoryVenue(range(500), spoil=spoil), span(100, 200))

    assert minutes(page) == [each for each in range(100, 200) if each != 150]
    [rejected] = page.rejected
    assert (rejected.ts, rejected.reason) == (at(150), "low is not a positive number")
    assert "'low': -1.0" in rejected.raw


def test_rows_beside_the_window_are_asked_about_and_dropped() -> None:
    def spoil(rows: list[Row], n: int) -> list[Row]:
        return [candle(20), *rows] if n == 1 else rows

    page = fetch(MemoryVenue(range(500), spoil=spoil), span(100, 200))

    assert minutes(page) == list(range(100, 200))
    assert page.rejected == ()


def test_contradicting_rows_of_one_time_are_refused_until_they_agree() -> None:
    def spoil(rows: list[Row], n: int) -> list[Row]:
        return [*rows, {**rows[0], "close": rows[0]["close"] + 0.5}] if n < 4 else rows

    venue = MemoryVenue(range(500), spoil=spoil)
    page = fetch(venue, span(100, 200))

    assert (minutes(page), page.requests) == (list(range(100, 200)), 4)


def test_a_venue_that_always_contradicts_itself_is_an_error() -> None:
    def spoil(rows: list[Row], n: int) -> list[Row]:
        return [*rows, {**rows[0], "close": rows[0]["close"] + 0.5}]

    with pytest.raises(SourceError, match="different candles of one time"):
        fetch(MemoryVenue(range(500), spoil=spoil), span(100, 200))


def test_answers_that_never_agree_are_an_error_and_not_a_guess() -> None:
    """Every answer lacks something that another one has."""

    def spoil(rows: list[Row], n: int) -> list[Row]:
        return [row for row in rows if row["ts"] // 60_000 % 13 == n % 13]

    venue = MemoryVenue([each for each in range(500) if each % 13 < 12], spoil=spoil)
    with pytest.raises(SourceError, match="contradict"):
        fetch(venue, span(100, 200))


@pytest.mark.parametrize("hole", [(150, 153), (103, 190), (100, 104), (196, 200)])
def test_venues_without_open_ends_are_asked_by_narrow_windows(hole: tuple[int, int]) -> None:
    start, end = hole
    there = [each for each in range(1_000) if not start <= each < end]
    venue = MemoryVenue(there)

    page = fetch(venue, span(100, 200), open_ended=False, hole_answers=2)

    assert minutes(page) == [each for each in there if 100 <= each < 200]
    assert all(first is not None and last is not None for first, last, _ in venue.asked)


@pytest.mark.parametrize("cap", [30, 60])
def test_a_venue_that_caps_pages_lower_than_the_table_says_leaves_no_hole(cap: int) -> None:
    venue = MemoryVenue(range(1_000), cap=cap)

    page = fetch(venue, span(100, 200), open_ended=False, hole_answers=2)

    assert minutes(page) == list(range(100, 200))


@pytest.mark.parametrize("open_ended", [True, False])
@pytest.mark.parametrize("cap", [12, 25, 30, 50, 60, 99])
@pytest.mark.parametrize("start", [0, 50, 400, 900])
def test_a_short_answer_says_nothing_of_what_lies_before_its_first_candle(
    cap: int, start: int, open_ended: bool
) -> None:
    """A venue that caps pages below what was asked for, and gives the newest of them.

    Its answers agree with one another on the absence of all that it cut off.
    """
    venue = MemoryVenue(range(1_000), now=1_000, cap=cap, hiding=True)

    page = fetch(venue, span(start, start + 100), open_ended=open_ended, hole_answers=2)

    assert minutes(page) == list(range(start, start + 100))


def test_many_small_holes_are_one_claim() -> None:
    """Venues that leave out quiet minutes would fill the coverage table otherwise."""
    venue = MemoryVenue([each for each in range(1_000) if each % 3])

    page = fetch(venue, span(100, 200), hole_answers=2)

    [(start, end, evidence)] = claims(page)
    assert (start, end) == (100, 200)
    assert evidence.endswith("answers agree")


@pytest.mark.parametrize("open_ended", [True, False])
@pytest.mark.parametrize("seed", range(60))
def test_forty_percent_of_short_answers_never_make_a_hole(seed: int, open_ended: bool) -> None:
    """Each kind of valid list that says too little, at random, over random data."""
    rng = random.Random(seed)
    gone = {each for _ in range(rng.randint(0, 3)) for each in _hole(rng)}
    there = [each for each in range(rng.randint(0, 120), rng.randint(150, 900)) if each not in gone]

    def spoil(rows: list[Row], n: int) -> list[Row]:
        if rng.random() >= 0.4 or not rows:
            return rows
        cut = rng.randrange(len(rows))
        wide = cut + 1 + rng.randrange(5)
        return rng.choice([[], rows[:cut], rows[cut:], [*rows[:cut], *rows[wide:]]])

    venue, sightings = MemoryVenue(there, spoil=spoil), Sightings()
    for start in (0, 100, 200, 300):
        page = fetch(
            venue,
            span(start, start + 100),
            open_ended=open_ended,
            sightings=sightings,
        )

        assert minutes(page) == [each for each in there if start <= each < start + 100]
        assert sum(each.range.duration.total_seconds() for each in page.claims) == 6_000


def _hole(rng: random.Random) -> range:
    start = rng.randrange(400)
    return range(start, start + rng.choice([1, 5, 60, 250]))


def first(venue: MemoryVenue) -> datetime | None:
    rules = Rules(GRID, SIZE, 3, True, Retry(attempts=12, base_s=0))
    return asyncio.run(first_candle(Asker(venue, rules, venue.time), rules))


def test_the_first_candle_is_named_by_two_answers() -> None:
    venue = MemoryVenue(range(77, 500))

    assert first(venue) == at(77)
    assert len(venue.asked) == 2


def test_a_later_first_candle_of_a_faulty_answer_is_not_believed() -> None:
    venue = MemoryVenue(range(77, 500), spoil=lambda rows, n: rows[1:] if n in (2, 3) else rows)

    assert first(venue) == at(77)


def test_no_candle_at_all_is_none_after_several_answers() -> None:
    venue = MemoryVenue([])

    assert first(venue) is None
    assert len(venue.asked) >= 3


def test_months_are_fetched_by_the_calendar() -> None:
    months = [datetime(2024, each, 1) for each in range(1, 13)]
    rows = [{**candle(0), "ts": to_us(each) // 1_000} for each in months]

    async def ask(first: int | None, last: int | None, limit: int) -> Decoded:
        found = [
            row
            for row in rows
            if (first or 0) <= row["ts"] * 1_000 <= (10**16 if last is None else last)
        ]
        return Decoded(pa.Table.from_pylist(found[:limit], schema=_TYPES), repr)

    async def now() -> datetime:
        return datetime(2026, 1, 1)

    grid = Grid(TimeFrame.MONTH_1)
    fetching = WindowFetch(
        ask,
        TimeRange(datetime(2024, 1, 1), datetime(2025, 1, 1)),
        Rules(grid, SIZE, 3, True, Retry(base_s=0)),
        now=now,
        settled_until=lambda now: grid.floor(now - SETTLE),
        sightings=Sightings(),
    )
    page = asyncio.run(fetching.page())

    assert page.rows["ts"].to_pylist() == months
    assert page.requests == 1
    assert from_us(to_us(page.claims[0].range.end)) == datetime(2025, 1, 1)


def calls_open(*still: int, answers: int = 10**6) -> Spoil:
    """The first *answers* call the candles of these minutes open, later ones closed."""
    times = {to_us(at(each)) // 1_000 for each in still}

    def spoil(rows: list[Row], n: int) -> list[Row]:
        return [row | {"closed": n > answers or row["ts"] not in times} for row in rows]

    return spoil


def test_a_candle_that_was_called_open_once_is_asked_for_again() -> None:
    """A copy that lags calls the candle open that its neighbours call closed."""
    venue = MemoryVenue(range(500), spoil=calls_open(30, answers=1))

    page = fetch(venue, span(0, 50))

    assert minutes(page) == list(range(50))
    assert [each[:2] for each in claims(page)] == [(0, 50)]
    assert len(venue.asked) == 2


@pytest.mark.parametrize("open_ended", [True, False])
def test_a_candle_that_stays_open_ends_what_is_claimed_and_is_never_a_hole(
    open_ended: bool,
) -> None:
    """The next run asks again; the rows behind it are true and delivered."""
    venue = MemoryVenue(range(500), spoil=calls_open(30, 31))

    page = fetch(venue, span(0, 50), open_ended=open_ended)

    assert minutes(page) == [*range(30), *range(32, 50)]
    assert [each[:2] for each in claims(page)] == [(0, 30)]
    assert page.rejected == ()
    assert len(venue.asked) <= 6


def test_a_window_that_begins_with_an_open_candle_claims_nothing() -> None:
    venue = MemoryVenue(range(500), spoil=calls_open(0))

    page = fetch(venue, span(0, 50))

    assert minutes(page) == list(range(1, 50))
    assert page.claims == ()


class LaggingVenue(MemoryVenue):
    """A copy that stands *behind* minutes behind the venue's clock: to it the last candle runs."""

    def __init__(self, behind: int, *, now: int) -> None:
        super().__init__(range(10_000), now=now)
        self.behind = behind

    async def __call__(self, first: int | None, last: int | None, limit: int) -> Decoded:
        clock, self.now = self.now, self.now - self.behind
        try:
            return await super().__call__(first, last, limit)
        finally:
            self.now = clock


@pytest.mark.parametrize("behind", [0, 1])
def test_the_newest_candle_is_final_once_a_later_one_is_shown(behind: int) -> None:
    """By the clock minute 299 closed long ago; to a copy that is behind it may be running."""
    venue = LaggingVenue(behind, now=300)

    # Nothing is wanted of what opened after it, as for a day that just ended.
    page = fetch(venue, span(250, 300), settle=timedelta(0))

    assert minutes(page) == list(range(250, 300))
    assert claims(page) == [(250, 300 - behind, "")]
    assert page.requests == 1


def test_a_candle_of_the_past_needs_no_later_one() -> None:
    """Nobody stood still for so long; and a full page costs no second request."""
    venue = MemoryVenue(range(300), now=10_000)

    assert claims(fetch(venue, span(200, 300))) == [(200, 300, "")]
    assert len(venue.asked) == 1
