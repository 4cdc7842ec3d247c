"""Tiny files of KuCoin's order books: whole books of 50 levels, a line each."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from archive_kit import contents_of, epoch_ms, recognised, zip_of

from lake.domain.coverage import Basis
from lake.domain.ranges import TimeRange
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive import Hints, recognise
from lake.sources.archive.mapping import Unit

NOTHING = Hints()
SIZED = Hints(unit=Unit.from_str("contracts:0.001"))
START = datetime(2025, 1, 14)
SECOND = timedelta(seconds=1)
SPOT = "BTC-USDT-orderbooklv50-2025-01-14.zip"
FUTURES = "BTCUSDTM-orderbooklv50-2025-01-14.zip"


def book(seconds: float = 0, **fields: Any) -> str:
    found = {
        "asks": [["101", "3"], ["102", "0.5"]],
        "bids": [["100", "2"], ["99", "1"]],
        "timestamp": epoch_ms(START + seconds * SECOND),
        **fields,
    }
    return json.dumps(found) + "\n"


def books(path: Path, *lines: str) -> Path:
    return zip_of(path, "data\n" + "".join(lines))


def test_books_are_stored_as_they_stand(tmp_path: Path) -> None:
    """In any order, off any grid; a day may begin a little before itself."""
    path = books(tmp_path / SPOT, book(0.1), book(2), book(-3))

    file = recognised(path, NOTHING)
    page = contents_of(file).page
    row = page.rows.to_pylist()[0]

    assert (str(file.series), file.variant) == ("BTCUSDT.KUCOIN orderbook", "feed/50")
    assert file.instrument.native_id == "BTC-USDT"
    assert page.rows["ts"].to_pylist() == [START + s * SECOND for s in (-3, 0.1, 2)]
    assert (row["best_bid"], row["best_ask"], row["sequence"]) == (100, 101, None)
    assert (row["ask_prices"], row["ask_quantities"]) == ([101, 102], [3, 0.5])
    assert {claim.basis for claim in page.claims} == {Basis.ROWS_ONLY}
    assert page.claims[0].range.start == START - 3 * SECOND


def test_books_of_futures_are_in_contracts(tmp_path: Path) -> None:
    moment = epoch_ms(START)
    path = books(tmp_path / FUTURES, book(sequence=1745704141177, ts=moment))

    with pytest.raises(InvalidRequest, match="Say --unit base, or --unit contracts:SIZE"):
        recognise(path, NOTHING)
    file = recognised(path, SIZED)
    row = contents_of(file).page.rows.to_pylist()[0]

    assert str(file.series) == "BTCUSDT-PERP.KUCOINFUTURES orderbook"
    assert file.instrument.contract_size == 0.001
    assert (row["sequence"], row["bid_quantities"]) == (1745704141177, [0.002, 0.001])


def test_dollars_of_inverse_books_become_coins(tmp_path: Path) -> None:
    path = books(tmp_path / "XBTUSDM-orderbooklv50-2025-01-14.zip", book(sequence=1))

    file = recognised(path, Hints(unit=Unit.from_str("contracts:1")))

    assert str(file.series) == "BTCUSD-PERP-BTC.KUCOINFUTURES orderbook"
    assert contents_of(file).page.rows["bid_quantities"].to_pylist() == [[0.02, 1 / 99]]


def test_books_are_sampled_where_the_user_says_so(tmp_path: Path) -> None:
    path = books(tmp_path / SPOT, *(book(number / 4) for number in range(13)))
    hints = Hints(every=SECOND, depth=1)

    file = recognised(path, hints)
    page = contents_of(file).page

    assert file.variant == "feed/1/1s"
    assert page.rows["ts"].to_pylist() == [START + s * SECOND for s in range(3)]
    assert page.rows["bid_prices"].to_pylist() == [[100]] * 3
    assert page.claims[0].range == TimeRange(START, START + 3 * SECOND)


def test_books_in_no_order_are_not_sampled(tmp_path: Path) -> None:
    """A sample would show the book of another moment."""
    path = books(tmp_path / SPOT, book(9), book(3), book(12))

    with pytest.raises(SourceError, match="leave --every out"):
        contents_of(recognised(path, Hints(every=SECOND)))


def test_books_that_cannot_be_go_to_quarantine(tmp_path: Path) -> None:
    crossed = book(1, asks=[["99.5", "1"]])
    unsorted = book(2, bids=[["99", "1"], ["100", "1"]])
    path = books(tmp_path / SPOT, book(0), crossed, unsorted)

    page = contents_of(recognised(path, NOTHING)).page

    assert page.rows.num_rows == 1
    assert [row.reason for row in page.rejected] == [
        "crossed: the best bid is not below the best ask",
        "bids are not ordered best first",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (book(timestamp=1736812800), "is no book .*its time is 1736812800"),
        (book(ts=1), "is no book"),
        (book(asks=[["nan", "1"]]), "a level of nan"),
        (book(asks=[["101"]]), "is no book"),
        (book().replace("asks", "sell"), r"unknown fields \(sell\)"),
        ('{"timestamp": 1736812800000, "bids": []}\n', "is no book .*asks"),
        ("[1]\n", "no JSON object"),
    ],
)
def test_lines_that_are_no_books_refuse_the_file(tmp_path: Path, line: str, message: str) -> None:
    path = books(tmp_path / SPOT, line)

    with pytest.raises(SourceError, match=message):
        contents_of(recognised(path, NOTHING))


def test_other_files_of_that_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not begin with their header"):
        recognise(zip_of(tmp_path / SPOT, book()), NOTHING)
    with pytest.raises(SourceError, match="no perpetual"):
        recognise(books(tmp_path / SPOT.replace("BTC-USDT", "BTCMU26"), book()), NOTHING)
    with pytest.raises(InvalidRequest, match="has 50 levels; --depth says 100"):
        recognise(books(tmp_path / SPOT, book()), Hints(depth=100))
