"""Coverage and gaps: what is known about a missing candle is what is said about it."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lake.domain.coverage import Basis, Coverage, overlay
from lake.domain.gaps import Fact, GapReason, explain, held_ranges
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame, grid_of

SERIES = Series(DataType.OHLCV, InstrumentId("BTCUSDT", Venue("BINANCE")), TimeFrame.HOUR_1)
GRID = grid_of(SERIES.venue, TimeFrame.HOUR_1)
DAY = datetime(2024, 1, 1)


def hours(start: int, end: int) -> TimeRange:
    return TimeRange(DAY + timedelta(hours=start), DAY + timedelta(hours=end))


def covered(window: TimeRange, *, basis: Basis = Basis.ANSWER, rank: int = 1, job: str = "a"):
    return Coverage(window, basis, "ccxt", rank, job, DAY)


def test_each_missing_run_has_its_reason() -> None:
    """Facts explain in the order given; what none explains was never asked for."""
    held = held_ranges(GRID, [(hours(2, 3).start, hours(19, 20).start, [hours(5, 8)])])
    facts = [
        Fact(hours(0, 2), GapReason.BEFORE_LISTING, "first candle 02:00"),
        Fact(hours(0, 20), GapReason.VENUE_HAS_NONE, "second answer"),
    ]

    gaps = explain(SERIES, GRID.count, examined=[hours(0, 24)], held=held, facts=facts)

    assert [(gap.range, gap.missing_count, gap.reason) for gap in gaps] == [
        (hours(0, 2), 2, GapReason.BEFORE_LISTING),
        (hours(5, 8), 3, GapReason.VENUE_HAS_NONE),
        (hours(20, 24), 4, GapReason.NOT_FETCHED),
    ]


def test_a_gap_across_a_file_border_is_one_gap() -> None:
    """Where coverage happens to be cut is no business of the reader."""
    facts = [
        Fact(hours(0, 4), GapReason.VENUE_HAS_NONE, "second answer"),
        Fact(hours(4, 9), GapReason.VENUE_HAS_NONE, "second answer"),
    ]

    [gap] = explain(SERIES, GRID.count, examined=[hours(0, 9)], held=[], facts=facts)

    assert (gap.range, gap.missing_count, gap.evidence) == (hours(0, 9), 9, "second answer")


def test_rows_only_never_hides_a_promise() -> None:
    """An import that promises nothing must not turn a confirmed hole into a doubt, nor back."""
    answer = covered(hours(0, 10))

    after = overlay([answer], covered(hours(5, 15), basis=Basis.ROWS_ONLY, job="b"))

    assert [(each.range, each.basis) for each in after] == [
        (hours(0, 10), Basis.ANSWER),
        (hours(10, 15), Basis.ROWS_ONLY),
    ]


def test_a_lower_rank_does_not_replace_a_higher_one() -> None:
    """Rank decides which source's word on a range stands."""
    after = overlay([covered(hours(0, 10), rank=5)], covered(hours(5, 15), rank=1, job="b"))

    assert [(each.range, each.source_rank) for each in after] == [
        (hours(0, 10), 5),
        (hours(10, 15), 1),
    ]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 30),
            st.integers(1, 10),
            st.sampled_from(list(Basis)),
            st.integers(0, 2),
            st.sampled_from("ab"),
        ),
        max_size=10,
    )
)
def test_overlaid_coverage_is_disjoint_and_loses_nothing(
    claims: list[tuple[int, int, Basis, int, str]],
) -> None:
    """However claims fall on each other, each hour that was answered stays answered, once."""
    rows: list[Coverage] = []
    answered: set[int] = set()
    for start, length, basis, rank, job in claims:
        rows = overlay(rows, covered(hours(start, start + length), basis=basis, rank=rank, job=job))
        answered |= set(range(start, start + length))

    spans = [
        set(
            range(
                (each.range.start - DAY) // timedelta(hours=1),
                (each.range.end - DAY) // timedelta(hours=1),
            )
        )
        for each in rows
    ]

    assert set().union(*spans) == answered
    assert sum(len(span) for span in spans) == len(answered)
