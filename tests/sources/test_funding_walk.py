"""The walk over settlements, against a venue in memory: even, changing, with holes, faulty."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest

from lake.domain.identifiers import Instrument, InstrumentKind, Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.times import from_us, to_us
from lake.errors import SourceError
from lake.sources.answers import Retry
from lake.sources.binance_rows import decode_funding
from lake.sources.cursor import Cursor
from lake.sources.decode import Decoded
from lake.sources.funding_walk import FundingWalk

PERP = Instrument(
    Venue("BINANCEUSDM"), "BTCUSDT-PERP", "BTC/USDT:USDT", "BTCUSDT", InstrumentKind.LINEAR, "BTC",
    "USDT", "USDT",
)  # fmt: skip
START, NOW = datetime(2021, 1, 1), datetime(2025, 1, 1)
PAGE = 200
Row = dict[str, Any]


@dataclass
class Exchange:
    """Settlements at *moments*, up to 47 ms late, answered as Binance does."""

    moments: list[datetime]
    spoil: Callable[[list[Row], int], list[Row]] = lambda rows, asked: rows
    asked: list[Cursor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rows = [
            {"fundingTime": to_us(each) // 1_000 + at % 48, "fundingRate": f"0.000{at % 9}"}
            for at, each in enumerate(self.moments)
        ]

    async def __call__(self, cursor: Cursor) -> Decoded:
        assert cursor.start_us is not None
        assert cursor.end_us is not None
        inside = [
            row
            for row in self._rows
            if cursor.start_us <= row["fundingTime"] * 1_000 < cursor.end_us
        ]
        self.asked.append(cursor)
        answer = self.spoil(inside[: cursor.limit], len(self.asked))
        return decode_funding(json.dumps(answer).encode(), PERP)


def every(hours: int, start: datetime, end: datetime) -> list[datetime]:
    step = timedelta(hours=hours)
    return [start + at * step for at in range(-(-(end - start) // step))]


def changing() -> list[datetime]:
    """8h, then 4h, then 1h over three years."""
    years = [datetime(year, 1, 1) for year in range(2021, 2025)]
    parts = [every(h, a, b) for h, (a, b) in zip((8, 4, 1), pairwise(years), strict=True)]
    return [each for part in parts for each in part]


def pages_of(venue: Exchange, window: TimeRange, *, now: datetime = NOW) -> list[Page]:
    async def clock() -> datetime:
        return now

    async def collect() -> list[Page]:
        walk = FundingWalk(
            venue,
            window,
            retry=Retry(attempts=4, base_s=0),
            page_size=PAGE,
            clock=clock,
            now=now,
            settled=now - timedelta(minutes=10),
        )
        return [page async for page in walk.pages()]

    return asyncio.run(collect())


def table(pages: list[Page]) -> pa.Table:
    return pa.concat_tables([page.rows for page in pages])


def moments(pages: list[Page]) -> list[datetime]:
    found: list[datetime] = table(pages)["ts"].to_pylist()
    return found


def test_a_symbol_whose_interval_changes_comes_back_complete() -> None:
    venue = Exchange(changing())
    window = TimeRange(START, datetime(2024, 1, 1))

    pages = pages_of(venue, window)

    assert moments(pages) == venue.moments
    rows = table(pages).to_pylist()
    assert [row["settled_at"] - row["ts"] for row in rows] == [
        timedelta(milliseconds=at % 48) for at in range(len(rows))
    ]
    hours = {row["ts"]: row["interval_hours"] for row in rows}
    # The interval of a settlement is the one that it ends.
    assert hours[datetime(2021, 1, 1)] == 8
    assert hours[datetime(2022, 1, 1)] == 8
    assert hours[datetime(2022, 1, 1, 4)] == 4
    assert hours[datetime(2023, 1, 1)] == 4
    assert hours[datetime(2023, 1, 1, 1)] == 1
    assert sum((each.range.duration for p in pages for each in p.claims), timedelta()) == (
        window.duration
    )


def test_even_settlements_take_one_answer_a_page() -> None:
    venue = Exchange(every(8, datetime(2020, 1, 1), datetime(2024, 12, 1)))
    window = TimeRange(START, datetime(2023, 1, 1))

    pages = pages_of(venue, window)

    assert moments(pages) == [each for each in venue.moments if each in window]
    assert len(venue.asked) == len(pages) < 20
    assert all(claim.evidence == "" for page in pages for claim in page.claims)


@pytest.mark.parametrize("seed", range(40))
def test_every_third_answer_lacking_rows_loses_nothing(seed: int) -> None:
    """Dropped where the interval changes, a row leaves no uneven step behind."""
    draw = random.Random(seed)
    venue = Exchange(changing())

    def spoil(rows: list[Row], asked: int) -> list[Row]:
        if draw.random() > 0.33 or not rows:
            return rows
        first = draw.randrange(len(rows))
        return rows[:first] + rows[draw.choice([first + 1, first + 4, len(rows)]) :]

    venue.spoil = spoil
    start = START + timedelta(hours=draw.randrange(20_000))
    window = TimeRange(start, start + timedelta(hours=draw.randrange(1, 4_000)))

    assert moments(pages_of(venue, window)) == [each for each in venue.moments if each in window]


@pytest.mark.parametrize("seed", range(10))
def test_windows_that_touch_hold_every_settlement_once(seed: int) -> None:
    draw = random.Random(seed)
    venue = Exchange(changing())
    cuts = sorted(
        {START - timedelta(days=9), datetime(2024, 1, 1)}
        | {
            draw.choice(venue.moments) + draw.choice([timedelta(0), timedelta(microseconds=1)])
            for _ in range(5)
        }
    )

    found = [m for a, b in pairwise(cuts) for m in moments(pages_of(venue, TimeRange(a, b)))]

    assert found == venue.moments


def test_a_missing_month_is_believed_after_agreeing_answers_and_is_no_interval() -> None:
    month = TimeRange(datetime(2021, 12, 1), datetime(2022, 1, 1))
    venue = Exchange(
        [each for each in every(8, datetime(2021, 1, 1), datetime(2023, 1, 1)) if each not in month]
    )
    window = TimeRange(datetime(2021, 6, 1), datetime(2022, 6, 1))

    pages = pages_of(venue, window)

    assert moments(pages) == [each for each in venue.moments if each in window]
    assert set(table(pages)["interval_hours"].to_pylist()) == {8.0}
    assert any("agree" in claim.evidence for page in pages for claim in page.claims)


def test_a_row_from_another_time_of_the_venue_is_not_taken_for_a_settlement() -> None:
    """A made-up later settlement is plausible by itself; no other answer repeats it."""
    venue = Exchange(every(8, START, datetime(2021, 3, 1)))

    def spoil(rows: list[Row], asked: int) -> list[Row]:
        return (
            [*rows, rows[-1] | {"fundingTime": rows[-1]["fundingTime"] + 7_200_000}]
            if (asked % 2 and rows)
            else rows
        )

    venue.spoil = spoil

    window = TimeRange(START, datetime(2021, 2, 1))
    assert moments(pages_of(venue, window)) == [each for each in venue.moments if each in window]


def test_a_settlement_that_stays_odd_is_set_aside() -> None:
    venue = Exchange(every(8, START, datetime(2021, 3, 1)))
    odd = venue.moments[30]
    venue.spoil = lambda rows, asked: [
        row | {"fundingRate": "-9.5"}
        if from_us(row["fundingTime"] * 1_000) - odd < timedelta(seconds=1)
        and from_us(row["fundingTime"] * 1_000) >= odd
        else row
        for row in rows
    ]

    pages = pages_of(venue, TimeRange(START, datetime(2021, 2, 1)))

    assert odd not in moments(pages)
    [rejected] = [each for page in pages for each in page.rejected]
    assert rejected.reason == "funding_rate is not a fraction"


def test_silence_near_now_is_not_believed() -> None:
    """A venue that lags shows what a delisted perpetual shows."""
    now = datetime(2021, 3, 1, 10, 30)
    venue = Exchange(every(8, START, datetime(2021, 3, 1, 8)))

    pages = pages_of(venue, TimeRange(START, now), now=now)

    assert pages[-1].window.end == datetime(2021, 3, 1, 10, 20)
    assert pages[-1].claims[-1].range.end == datetime(2021, 3, 1, 9, 30)


def test_before_listing_there_is_nothing_on_evidence() -> None:
    [page] = pages_of(Exchange(changing()), TimeRange(datetime(2020, 3, 1), datetime(2020, 3, 3)))

    assert page.rows.num_rows == 0
    assert [claim.evidence for claim in page.claims] == ["5 answers agree"]


def test_a_venue_that_ignores_times_is_refused() -> None:
    venue = Exchange(changing())
    everything = [
        {"fundingTime": to_us(each) // 1_000, "fundingRate": "0.1"} for each in venue.moments[:PAGE]
    ]
    venue.spoil = lambda rows, asked: everything

    with pytest.raises(SourceError, match="another time"):
        pages_of(venue, TimeRange(datetime(2022, 1, 1), datetime(2022, 2, 1)))


def test_answers_that_never_agree_end_as_an_error() -> None:
    draw = random.Random(2)
    venue = Exchange(changing())
    venue.spoil = lambda rows, asked: [row for row in rows if draw.random() < 0.7]

    with pytest.raises(SourceError, match="contradict"):
        pages_of(venue, TimeRange(datetime(2022, 1, 1), datetime(2022, 2, 1)))
