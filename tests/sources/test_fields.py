"""Rows of a JSON answer into columns: the common case and every odd one give the same values."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lake.errors import SourceError
from lake.sources.fields import Field, columns_of, rows_at

PLACES = {"ts": 0, "close": 1, "quote_volume": 2, "trade_count": 3}


def columns(rows: list[Any]) -> dict[str, list[Any]]:
    return {name: each.to_pylist() for name, each in columns_of(rows, PLACES).items()}


def test_numbers_are_read_alike_as_text_and_as_numbers() -> None:
    written = [["1704067200000", "1.5", "3", "7"], ["1704067260000", "2e-8", "0", "8"]]
    plain = [[1_704_067_200_000, 1.5, 3, 7], [1_704_067_260_000, 2e-8, 0, 8]]

    assert columns(written) == columns(plain)
    assert columns(written) == {
        "ts": [1_704_067_200_000, 1_704_067_260_000],
        "close": [1.5, 2e-8],
        "quote_volume": [3.0, 0.0],
        "trade_count": [7, 8],
    }


@pytest.mark.parametrize(
    "odd", [None, "x", {}, [], ["5"], ["", "", "", ""], ["9" * 30, "1e400", "-", "1.5"], [[], {}]]
)
def test_an_odd_row_changes_no_other_and_is_never_read_as_unknown(odd: Any) -> None:
    """What must be there is null, which the checks reject; what may be absent is impossible."""
    rows = [["1704067200000", "1.5", "3", "7"], odd, ["1704067260000", "2.5", "4", "8"]]

    found = columns(rows)

    assert found["ts"][::2] == [1_704_067_200_000, 1_704_067_260_000]
    assert (found["close"][0], found["close"][2]) == (1.5, 2.5)
    assert found["ts"][1] in (None, 5)
    assert found["close"][1] in (None, math.inf)


def test_a_value_that_is_said_and_cannot_be_read_is_not_unknown() -> None:
    found = columns([["1", "1", "much", "many"]])

    assert math.isnan(found["quote_volume"][0])
    assert found["trade_count"] == [-1]


def test_a_field_of_its_own_turns_each_value() -> None:
    rows = [{"s": "-3"}, {"s": "4"}]

    found = columns_of(rows, {"quantity": Field("s", lambda text: abs(float(text)))})

    assert found["quantity"].to_pylist() == [3.0, 4.0]


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'{"data":{}}', b'{"data":null}', b"<html>"])
def test_a_body_without_the_list_is_refused(body: bytes) -> None:
    with pytest.raises(SourceError) as refusal:
        rows_at(body, "data")

    assert refusal.value.retryable
