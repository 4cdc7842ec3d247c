"""Answers recorded by others (../shared/ccxt_static): our reading of them is ccxt's own."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lake.domain.identifiers import DataType, Instrument, InstrumentKind, Series, Venue
from lake.domain.partitions import split
from lake.domain.rows import Page, SourceTag
from lake.domain.timeframe import Grid, TimeFrame
from lake.domain.times import from_us
from lake.errors import InvalidRequest, SourceError
from lake.sources.binance_rows import decode_agg_trades, decode_depth
from lake.sources.books import validate_book
from lake.sources.decode import decode_klines
from lake.sources.trade_checks import validate_trades
from lake.sources.validation import validate_candles
from lake.storage.lake import PartitionCommit, Storage
from tests.sources.replay import RECORDED, Case, cases, fetched

SPOT = InstrumentKind.SPOT
BTC = Instrument(Venue("BINANCE"), "BTCUSDT", "BTC/USDT", "BTCUSDT", SPOT, "BTC", "USDT")
PRICES = ("ts", "open", "high", "low", "close", "volume")
# One recorded call of each goes through the unified method.
UNIFIED = tuple(
    """
    alpaca backpack bequant bigone binanceus bingx bitfinex bitopro bitrue bitstamp bitteam
    bitvavo coinbaseexchange coinsph cryptocom deepcoin digifinex foxbit gemini hashkey
    hitbtc hollaex htx lbank mexc ndax p2b poloniex upbit whitebit woo
    """.split()  # noqa: SIM905 - so many names read better as text
)
# Derivatives whose unit of volume ccxt's code does not settle.
REFUSED = ("bydfi",)


def expected(case: Case) -> list[tuple[object, ...]]:
    """ccxt's own reading, in our units."""
    return [
        (from_us(int(row[0]) * 1_000), *(float(each) for each in row[1:6]))
        for row in sorted(case.parsed)
    ]


def first(venue: str) -> Case:
    """The first recorded call; one of a spot market where there is one."""
    return min(cases(venue), key=lambda each: ":" in each.symbol)


@pytest.mark.parametrize("start", ["Spot OHLCV", "swap ohlcv"])
def test_binance_candles_have_ccxts_values_and_the_columns_it_drops(start: str) -> None:
    [case] = [each for each in cases("binance") if each.description.startswith(start)]
    body = json.dumps(case.answer).encode()

    table = decode_klines(body, BTC).table
    rows = validate_candles(
        table, Grid(TimeFrame.from_str(case.timeframe)), None, closed_before=datetime(2026, 1, 1)
    ).rows

    assert list(zip(*(rows[name].to_pylist() for name in PRICES), strict=True)) == expected(case)
    dropped = [(float(row[7]), int(row[8]), float(row[9]), float(row[10])) for row in case.answer]
    ours = ("quote_volume", "trade_count", "taker_buy_volume", "taker_buy_quote_volume")
    assert list(zip(*(rows[name].to_pylist() for name in ours), strict=True)) == dropped


@pytest.mark.parametrize("venue", UNIFIED)
def test_other_venues_give_ccxts_values_and_null_for_what_they_do_not_say(venue: str) -> None:
    case = first(venue)

    _, page = fetched(case)

    columns = (page.rows[name].to_pylist() for name in PRICES)
    assert list(zip(*columns, strict=True)) == expected(case)
    assert page.rows["quote_volume"].null_count == page.rows.num_rows
    assert page.rows["trade_count"].null_count == page.rows.num_rows
    assert [claim.range for claim in page.claims] == [page.window]


def test_twenty_venues_end_up_in_one_lake(tmp_path: Path) -> None:
    """The whole way: recorded answer, client, checks, partition, and back."""
    with Storage.open(tmp_path / "lake", create=True) as storage:
        stored: list[tuple[Series, Case]] = []
        for venue in UNIFIED[:20]:
            case = first(venue)
            series, page = fetched(case)
            _store(storage, series, page)
            stored.append((series, case))

        assert len(stored) == 20
        for series, case in stored:
            tables = [
                storage.read_partition(info.partition)
                for info in storage.catalog.partitions(series)
            ]
            rows = [
                row
                for table in tables
                if table is not None
                for row in zip(*(table[name].to_pylist() for name in PRICES), strict=True)
            ]
            assert rows == expected(case)


def _store(storage: Storage, series: Series, page: Page) -> None:
    storage.catalog.ensure_series(series, "venue")
    job = storage.jobs.create(series, page.window)
    lease = storage.jobs.claim(job.job_id, "test")
    for partition, part in split(series, page.window):
        inside = pa.array([ts in part for ts in page.rows["ts"].to_pylist()])
        rows = page.rows.filter(inside)
        tag = SourceTag("ccxt", 40)
        change = PartitionCommit(partition=partition, rows=rows, tag=tag, claims=page.claims)
        storage.commit(change, lease)


@pytest.mark.parametrize("venue", REFUSED)
def test_contracts_whose_unit_of_volume_is_unknown_are_refused_before_any_request(
    venue: str,
) -> None:
    """Contracts stored as if they were coins would be wrong by a factor nobody sees."""
    with pytest.raises(InvalidRequest, match="unit"):
        fetched(first(venue))


def test_an_answer_that_ccxt_cannot_parse_is_an_error_and_not_an_empty_page() -> None:
    with pytest.raises(SourceError, match="BTCKRW"):
        fetched(first("bithumb"))


@pytest.mark.parametrize("venue", ["kraken", "bitstamp", "bybit", "okx"])
def test_a_venue_that_answers_with_other_candles_than_asked_covers_nothing(venue: str) -> None:
    """Kraken gives its newest candles whatever is asked; that is no proof of a hole."""
    with pytest.raises(SourceError, match=r"nothing is claimed|has only others"):
        fetched(first(venue), earlier=timedelta(days=30))


def test_reserved_types_have_no_way_in() -> None:
    with pytest.raises(InvalidRequest, match="not built yet"):
        DataType.from_str("ohlcv_index")


def recorded(venue: str, method: str) -> list[dict[str, Any]]:
    """The recorded calls of *method*; skips the test where nothing is at hand."""
    path = RECORDED / "cases" / f"{venue}.json"
    if not path.exists():
        pytest.skip(f"no recorded answers at {path}")
    found: list[dict[str, Any]] = json.loads(path.read_text())["methods"].get(method, [])
    assert found
    return found


def test_recorded_trades_of_binance_have_ccxts_values() -> None:
    for case in recorded("binance", "fetchTrades"):
        decoded = decode_agg_trades(json.dumps(case["httpResponse"]).encode(), BTC)

        checked = validate_trades(decoded, now=datetime(2026, 1, 1), whole_seconds=False)

        assert checked.rejected == ()
        assert [
            (str(row["trade_id"]), row["ts"], row["side"], row["price"], row["quantity"])
            for row in checked.rows.to_pylist()
        ] == [
            (each["id"], from_us(each["timestamp"] * 1_000), each["side"], each["price"],
             each["amount"])
            for each in case["parsedResponse"]
        ]  # fmt: skip


def test_recorded_books_of_binance_have_ccxts_values() -> None:
    for case in recorded("binance", "fetchOrderBook"):
        decoded = decode_depth(json.dumps(case["httpResponse"]).encode(), BTC)
        theirs = case["parsedResponse"]

        checked = validate_book(decoded, depth=20, received=datetime(2026, 1, 1))

        assert checked.rejected is None
        [row] = checked.rows.to_pylist()
        assert row["sequence"] == theirs["nonce"]
        for ours, side in (("bid", "bids"), ("ask", "asks")):
            levels = zip(row[f"{ours}_prices"], row[f"{ours}_quantities"], strict=True)
            assert [list(each) for each in levels] == theirs[side][:20]
        if theirs["timestamp"] is not None:
            assert row["ts"] == from_us(theirs["timestamp"] * 1_000)
