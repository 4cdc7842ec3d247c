"""Plans: wanted minus covered, minus what is known not to be there."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lake.domain.coverage import Basis, Coverage
from lake.domain.gaps import GapReason
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.ranges import TimeRange, subtract, union
from lake.domain.timeframe import TimeFrame
from lake.ingestion.planning import Known, outline

DAY = datetime(2024, 12, 20)
SERIES = Series(DataType.OHLCV, InstrumentId("BTCUSDT", Venue("BINANCE")), TimeFrame.HOUR_1)


def hours(start: int, end: int) -> TimeRange:
    return TimeRange(DAY + timedelta(hours=start), DAY + timedelta(hours=end))


def covered(window: TimeRange, basis: Basis = Basis.ANSWER, job: str = "a") -> Coverage:
    return Coverage(window, basis, "ccxt", 1, job, DAY)


def test_holes_in_the_middle_are_filled_like_tails() -> None:
    """A plan is what is missing, wherever it lies."""
    known = Known(coverage=[covered(hours(2, 5)), covered(hours(8, 10))])

    pieces, excluded = outline(SERIES, hours(0, 12), known)

    assert pieces == [hours(0, 2), hours(5, 8), hours(10, 12)]
    assert excluded == []


def test_candles_built_out_of_trades_do_not_keep_the_venues_own_away() -> None:
    """They stand in until the venue is asked; its own rank higher and say more."""
    built = replace(covered(hours(2, 5)), source="derived")

    pieces, _ = outline(SERIES, hours(0, 8), Known(coverage=[built, covered(hours(5, 6))]))

    assert pieces == [hours(0, 5), hours(6, 8)]


def test_what_was_never_listed_is_not_asked_for() -> None:
    """Asking for the years before a listing costs requests and gives nothing."""
    known = Known(first_available=hours(4, 5).start)

    pieces, [excluded] = outline(SERIES, hours(0, 12), known)

    assert pieces == [hours(4, 12)]
    assert (excluded.range, excluded.reason) == (hours(0, 4), GapReason.BEFORE_LISTING)


def test_what_retention_dropped_is_not_fetched_back() -> None:
    """A nightly backfill must not undo `lake clean`."""
    known = Known(retained_from=hours(6, 7).start, first_available=hours(2, 3).start)

    pieces, [excluded] = outline(SERIES, hours(0, 12), known)

    assert pieces == [hours(6, 12)]
    assert excluded.reason is GapReason.EXPIRED


def test_what_the_venue_no_longer_gives_is_said() -> None:
    """Kraken has 720 candles, whatever is asked."""
    known = Known(obtainable=hours(9, 99), obtainable_why="only the last 720 candles")

    pieces, [excluded] = outline(SERIES, hours(0, 12), known)

    assert pieces == [hours(9, 12)]
    assert (excluded.reason, excluded.why) == (
        GapReason.BEYOND_SOURCE,
        "only the last 720 candles",
    )


def test_a_dated_future_ends() -> None:
    """After its expiry day there is nothing to ask for."""
    future = Series(
        DataType.OHLCV, InstrumentId("BTCUSDT-241220", Venue("BINANCEUSDM")), TimeFrame.HOUR_1
    )

    pieces, [excluded] = outline(future, hours(0, 48), Known())

    assert pieces == [hours(0, 24)]
    assert excluded.reason is GapReason.AFTER_DELISTING


def test_the_holes_of_an_import_that_promises_nothing_are_asked_for() -> None:
    """Its rows are held; its holes mean nothing."""
    known = Known(
        coverage=[covered(hours(0, 10), Basis.ROWS_ONLY)], held=[hours(0, 4), hours(6, 10)]
    )

    pieces, _ = outline(SERIES, hours(0, 10), known)

    assert pieces == [hours(4, 6)]


def test_a_refetch_asks_for_everything_but_what_it_fetched_itself() -> None:
    """A refetch that was killed continues instead of starting over."""
    known = Known(coverage=[covered(hours(0, 6), job="old"), covered(hours(6, 9), job="mine")])

    assert outline(SERIES, hours(0, 12), known, covered_by="mine")[0] == [
        hours(0, 6),
        hours(9, 12),
    ]
    assert outline(SERIES, hours(0, 12), known, covered_by="")[0] == [hours(0, 12)]


PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), max_size=6)


@given(PAIRS, st.none() | st.integers(0, 40), st.none() | st.integers(0, 40))
def test_every_wanted_hour_is_asked_for_covered_or_excluded(
    answered: list[tuple[int, int]], first: int | None, obtainable: int | None
) -> None:
    """Nothing wanted falls between the chairs, and nothing is asked for twice."""
    wanted = hours(0, 45)
    coverage = [covered(hours(start, start + length)) for start, length in answered]
    known = Known(
        coverage=coverage,
        first_available=None if first is None else hours(first, first + 1).start,
        obtainable=None if obtainable is None else hours(obtainable, 99),
        obtainable_why="",
    )

    pieces, excluded = outline(SERIES, wanted, known)

    explained = [each.range for each in coverage] + [each.range for each in excluded]
    assert not subtract([wanted], [*pieces, *explained])
    assert union(pieces) == pieces
    assert subtract(pieces, explained) == pieces
