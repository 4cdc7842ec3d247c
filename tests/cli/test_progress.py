"""Progress without a terminal: plain lines, the first wait at once, no flood."""

from __future__ import annotations

from io import StringIO

from lake.cli.progress import PlainProgress
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.ingestion.events import Noticed, Waiting

BINANCE = Venue("BINANCE")


def test_the_first_wait_is_told_at_once_and_the_next_ones_are_not() -> None:
    """A ban in the first second is what the user wonders about; one in each worker is a flood."""
    out = StringIO()
    progress = PlainProgress(out)

    for _ in range(5):
        progress(Waiting(BINANCE, "the venue said to slow down", 30.0))

    assert out.getvalue().count("waiting: BINANCE: the venue said to slow down") == 1


def test_what_is_noticed_is_always_told() -> None:
    out = StringIO()
    progress = PlainProgress(out)
    series = Series(DataType.TRADES, InstrumentId("BTCUSDT", BINANCE))

    for number in range(3):
        progress(Noticed(series, f"file {number} is damaged"))

    assert out.getvalue().splitlines() == [
        f"BTCUSDT.BINANCE trades: file {number} is damaged" for number in range(3)
    ]
