"""Times, contracts and levels as venues write them."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from lake.domain.identifiers import Instrument, InstrumentKind, Venue
from lake.domain.times import from_us, to_us
from lake.errors import SourceError
from lake.sources.decode import Decoded
from lake.sources.wire_values import (
    book_of,
    book_time,
    in_base,
    iso_ms,
    iso_us,
    milliseconds_us,
    seconds_us,
)


def instrument(kind: InstrumentKind, size: float | None) -> Instrument:
    return Instrument(Venue("DYDX"), "BTC", "BTC/USD", "X", kind, "BTC", "USD", contract_size=size)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-07-29T05:16:49.920Z", datetime(2025, 7, 29, 5, 16, 49, 920_000)),
        ("2023-01-11T00:52:37.557001Z", datetime(2023, 1, 11, 0, 52, 37, 557_001)),
        ("2023-01-11T02:52:37.5+02:00", datetime(2023, 1, 11, 0, 52, 37, 500_000)),
    ],
)
def test_iso_times_are_read_in_utc(text: str, moment: datetime) -> None:
    assert from_us(iso_us(text)) == moment


@pytest.mark.parametrize("text", ["2025-07-29T05:16:49", "", "yesterday"])
def test_iso_times_without_an_offset_are_no_times(text: str) -> None:
    """Taking them as local or as UTC would be a guess."""
    with pytest.raises(ValueError, match=r"no offset|isoformat"):
        iso_us(text)


@pytest.mark.parametrize(
    ("value", "us"),
    [
        (1559347203.7998, 1_559_347_203_799_800),
        (1710327959.1733468, 1_710_327_959_173_347),
        ("1381095255", 1_381_095_255_000_000),
    ],
)
def test_seconds_with_a_fraction_keep_their_microseconds(value: float | str, us: int) -> None:
    assert seconds_us(value) == us


@pytest.mark.parametrize("value", [1710327.0, 1710327959173.0, float("nan"), float("inf")])
def test_a_number_of_another_unit_is_not_taken_for_seconds(value: float) -> None:
    """A thousandth of the seconds would read as milliseconds of another year."""
    with pytest.raises(ValueError, match="not in seconds"):
        seconds_us(value)


@pytest.mark.parametrize(
    ("value", "us"),
    [
        ("1634673259378.105000", 1_634_673_259_378_105),
        ("1634673259378.105999", 1_634_673_259_378_105),
        (1634673259378, 1_634_673_259_378_000),
    ],
)
def test_milliseconds_with_a_fraction_keep_their_microseconds(value: float | str, us: int) -> None:
    assert milliseconds_us(value) == us


@pytest.mark.parametrize(
    "value", ["1634673259", 1634673259.0, "1634673259378105.0", float("nan"), "inf"]
)
def test_a_number_of_another_unit_is_not_taken_for_milliseconds(value: float | str) -> None:
    """A thousand times the seconds would read as milliseconds that lost their fraction."""
    with pytest.raises(ValueError, match="not in milliseconds"):
        milliseconds_us(value)


def test_times_are_asked_for_in_milliseconds_rounded_down() -> None:
    assert iso_ms(to_us(datetime(2025, 7, 29, 5, 16, 49, 920_999))) == "2025-07-29T05:16:49.920Z"
    assert iso_ms(to_us(datetime(2025, 7, 29))) == "2025-07-29T00:00:00.000Z"


@pytest.mark.parametrize(
    ("kind", "size", "quantity"),
    [
        (InstrumentKind.SPOT, None, 300.0),
        (InstrumentKind.LINEAR, 0.001, 0.3),
        (InstrumentKind.INVERSE, 10.0, 0.05),
    ],
)
def test_contracts_become_amounts_of_the_base_asset(
    kind: InstrumentKind, size: float | None, quantity: float
) -> None:
    """300 contracts at 60,000: of 0.001 BTC, and of 10 dollars."""
    columns = {"price": pa.array([60_000.0]), "quantity": pa.array([300.0])}

    found = in_base(columns, instrument(kind, size))

    assert found["quantity"].to_pylist() == pytest.approx([quantity])


def test_an_unknown_contract_size_is_refused() -> None:
    columns = {"price": pa.array([60_000.0]), "quantity": pa.array([300.0])}

    with pytest.raises(SourceError, match="contract size is unknown"):
        in_base(columns, instrument(InstrumentKind.LINEAR, None))


def book(bids: object, **more: object) -> Decoded:
    spot = instrument(InstrumentKind.SPOT, None)
    return book_of(b"{}", spot, bids=bids, asks=[["2", "1"]], **more)  # type: ignore[arg-type]


def test_a_level_that_cannot_be_read_is_no_number() -> None:
    """The checks of a book refuse it then; leaving it out would make the book thinner."""
    [row] = book([["1", "5"], ["x"], None, 7]).table.to_pylist()

    assert row["bid_prices"][0] == 1.0
    assert all(price != price for price in row["bid_prices"][1:])
    assert len(row["bid_prices"]) == 4


@pytest.mark.parametrize("bids", [None, {}, "x"])
def test_a_side_that_is_no_list_is_refused(bids: object) -> None:
    with pytest.raises(SourceError, match="not an order book"):
        book(bids)


def test_a_sequence_or_time_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(SourceError, match="sequence"):
        book([], sequence="x")
    with pytest.raises(SourceError, match="time"):
        book_time(b"{}", None)
    with pytest.raises(SourceError, match="time"):
        book_time(b"{}", "yesterday", iso_us)
