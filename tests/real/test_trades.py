"""Recorded trades: stored and read back exact, and candles are rebuilt out of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.schemas import TRADES
from lake.domain.timeframe import TimeFrame
from lake.ingestion.derive import trades_to_ohlcv
from lake.storage.lake import Storage
from tests.real import readers
from tests.real.kit import assert_held, held, keep, needs_recordings
from tests.real.readers import RECORDED

pytestmark = needs_recordings


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "lake", create=True) as storage:
        yield storage


def trades_of(code: str, venue: str = "BINANCE") -> Series:
    return Series(DataType.TRADES, InstrumentId(code, Venue(venue)))


def test_xrp_eth_trades_rebuild_every_candle(storage: Storage) -> None:
    """12,477 trades are exactly the 2,469 minutes that Binance published, volumes included."""
    trades = trades_of("XRPETH")
    keep(storage, trades, readers.freqtrade_trades().rows, variant="aggregate/venue")
    published = readers.freqtrade_candles(RECORDED / "freqtrade/XRP_ETH-1m.feather")

    [minutes] = trades_to_ohlcv(storage, trades, [TimeFrame.MINUTE_1])

    built = held(storage, minutes.series)
    names = ["ts", "open", "high", "low", "close", "volume"]
    # The recording begins and ends inside a minute, which is why those two were not made.
    assert [part.count for part in minutes.skipped] == [1, 1]
    assert built.select(names).equals(published.slice(1, 2_467).select(names))
    assert published.num_rows == 2_469


def test_the_edges_are_candles_too_where_the_whole_day_was_asked(storage: Storage) -> None:
    """With a promise for the minutes at both ends all 2,469 candles are there."""
    trades = trades_of("XRPETH")
    rows = readers.freqtrade_trades().rows
    published = readers.freqtrade_candles(RECORDED / "freqtrade/XRP_ETH-1m.feather")
    keep(storage, trades, rows, variant="aggregate/venue", claims=[readers.whole_minutes(rows)])

    [minutes, fives] = trades_to_ohlcv(storage, trades, [TimeFrame.MINUTE_1, TimeFrame.MINUTE_5])

    names = ["ts", "open", "high", "low", "close", "volume"]
    assert held(storage, minutes.series).select(names).equals(published.select(names))
    assert (minutes.made, minutes.skipped) == (2_469, ())
    # The recording does not say how many fills an aggregate has.
    assert held(storage, minutes.series)["trade_count"].null_count == 2_469
    coarse = readers.freqtrade_candles(RECORDED / "freqtrade/XRP_ETH-5m.feather")
    whole = held(storage, fives.series)
    assert whole.select(names).equals(coarse.select(names))
    assert whole.num_rows == 706


@pytest.mark.parametrize(
    ("market", "code", "count"), [("spot", "BTCUSDT", 9_757), ("usdm", "BTCUSDT-PERP", 21_313)]
)
def test_trades_of_a_websocket_recording_come_back_exact(
    storage: Storage, market: str, code: str, count: int
) -> None:
    """Ids of ten digits, prices as text, the recorder's own clock: nothing is lost on the way."""
    series = trades_of(code, "BINANCE" if market == "spot" else "BINANCEUSDM")
    path = RECORDED / f"hftbacktest_ws/{market}/btcusdt_20240808.gz"
    [told] = readers.binance_stream_trades(readers.hftbacktest_frames(path)).values()
    rows = readers.table([row for row, _ in told], TRADES)

    keep(storage, series, rows, variant="single/venue")

    assert rows.num_rows == count
    assert_held(storage, series, rows)
    assert keep(storage, series, rows, variant="single/venue") == 0
    stored = held(storage, series).to_pylist()
    texts = {data["t"]: data for _, data in told}
    for row in stored:
        data = texts[row["trade_id"]]
        # The shortest text of the double is the venue's text: no digit was lost.
        assert float(data["p"]) == row["price"]
        assert float(data["q"]) == row["quantity"]
        assert (row["side"] == "sell") is data["m"]


@pytest.mark.parametrize(
    ("file", "count"),
    [
        ("cryptofeed_v3/BINANCE.jsonl.zst", 2),
        ("cryptofeed_v3/BINANCE_FUTURES.jsonl.zst", 91),
        ("cryptofeed_master/BINANCE.ws.1.0", 2),
    ],
)
def test_aggregates_of_a_recorded_session_come_back_exact(
    storage: Storage, file: str, count: int
) -> None:
    """With the ids of their first and last fill, and when they were received."""
    found = readers.binance_stream_trades(readers.cryptofeed_frames(RECORDED / file))

    total = 0
    for (symbol, event), told in found.items():
        assert event == "aggTrade"
        series = trades_of(symbol)
        rows = readers.table([row for row, _ in told], TRADES)
        keep(storage, series, rows, variant="aggregate/venue")
        assert_held(storage, series, rows)
        assert rows["first_trade_id"].null_count == rows["received_at"].null_count == 0
        total += rows.num_rows
    assert total == count


def test_repeated_rows_of_a_source_without_ids_are_all_kept(storage: Storage) -> None:
    """Kraken's bulk file has one trade twice, in time, price and size; both happened."""
    series = trades_of("BCHEUR", "KRAKEN")
    rows = readers.kraken_trades()
    plain = Counter((row["ts"], row["price"], row["quantity"]) for row in rows.to_pylist())

    keep(storage, series, rows, variant="single/derived")

    assert max(plain.values()) == 2
    assert held(storage, series).num_rows == 148
    assert_held(storage, series, rows)


@pytest.mark.parametrize("pieces", ["each row", "at the repetition", "inside a second"])
def test_where_a_page_or_file_ends_changes_no_name(storage: Storage, pieces: str) -> None:
    """The same file read again in other parts brings nothing new and takes nothing away."""
    series = trades_of("BCHEUR", "KRAKEN")
    rows = readers.kraken_trades()
    keep(storage, series, rows, variant="single/derived")
    told = rows.to_pylist()
    repeated = next(
        at
        for at in range(1, len(told))
        if any(
            told[at]["ts"] == other["ts"]
            and told[at]["price"] == other["price"]
            and told[at]["quantity"] == other["quantity"]
            for other in told[:at]
        )
    )
    inside = [at for at in range(1, len(told)) if told[at]["ts"] == told[at - 1]["ts"]]
    cuts = {
        "each row": list(range(1, len(told))),
        "at the repetition": [repeated],
        "inside a second": inside,
    }[pieces]

    again = readers.kraken_trades(cuts=cuts)

    assert again.equals(rows)
    assert keep(storage, series, again, variant="single/derived") == 0
    assert held(storage, series).num_rows == 148


def test_a_file_cut_inside_a_second_is_stored_as_its_whole(storage: Storage) -> None:
    """Two imports, the second beginning among rows of the same second as the first ended in."""
    series = trades_of("BCHEUR", "KRAKEN")
    whole = readers.kraken_trades()
    told = whole.to_pylist()
    cut = next(at for at in range(1, len(told)) if told[at]["ts"] == told[at - 1]["ts"])
    parts = readers.kraken_trades(cuts=[cut])

    for part in (parts.slice(0, cut), parts.slice(cut)):
        keep(storage, series, part, variant="single/derived")

    assert_held(storage, series, whole)
