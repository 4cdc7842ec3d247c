"""Candles outside of the bounds that were asked for."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lake.errors import SourceError
from lake.sources.bounds import within
from lake.sources.decode import Decoded

MINUTE = 60_000_000
FIRST = 28_000_000 * MINUTE


def answer(*minutes: int | None) -> Decoded:
    times = [None if each is None else (FIRST + each * MINUTE) // 1_000_000 for each in minutes]
    return Decoded(pa.table({"ts": pa.array(times, pa.int64())}), lambda row: f"row {row}")


def asked(found: Decoded, *, most: int = 720) -> Decoded:
    return within(found, FIRST, FIRST + 4 * MINUTE, "Candles", most=most)


def test_rows_beside_the_bounds_are_left_out_and_the_others_keep_their_text() -> None:
    found = asked(answer(-1, 0, 3, 4, 5))

    assert [(each - FIRST // 1_000_000) // 60 for each in found.table["ts"].to_pylist()] == [
        0,
        3,
        4,
    ]
    assert [found.raw(row) for row in range(3)] == ["row 1", "row 2", "row 3"]


def test_rows_without_a_time_stay_for_the_checks() -> None:
    assert asked(answer(None, 7)).table["ts"].to_pylist() == [None]


def test_nothing_stays_nothing() -> None:
    assert asked(answer()).table.num_rows == 0


def test_an_answer_of_other_candles_alone_is_none_to_the_request() -> None:
    with pytest.raises(SourceError, match="nothing is claimed"):
        asked(answer(5, 6))


def test_a_full_answer_that_begins_late_says_nothing_about_what_was_cut_off() -> None:
    """Of a venue that keeps so many candles, the first ones asked for may have dropped off."""
    assert asked(answer(2, 3, 4)).table.num_rows == 3
    with pytest.raises(SourceError, match="does not reach back"):
        asked(answer(2, 3, 4), most=3)
