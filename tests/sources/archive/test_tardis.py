"""Tiny files as tardis.dev writes them: trades, books, and the funding in derivative tickers."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from archive_kit import contents_of, csv_of, gzip_of, recognised

from lake.domain.coverage import Basis
from lake.domain.identifiers import DataType, Venue
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive import Hints, recognise
from lake.sources.archive.mapping import Unit

NOTHING = Hints()
NOON = datetime(2024, 3, 1, 12)
NOON_US = 1_709_294_400_000_000
SECOND = 1_000_000
TRADES = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
CHANGES = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
TICKER = (
    "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,"
    "predicted_funding_rate,open_interest,last_price,index_price,mark_price\n"
)
BOOK = (
    "exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,"
    "bids[0].amount,asks[1].price,asks[1].amount,bids[1].price,bids[1].amount\n"
)


def named(folder: Path, exchange: str, kind: str, symbol: str) -> Path:
    return folder / f"{exchange}_{kind}_2024-03-01_{symbol}.csv.gz"


def trade(exchange: str, symbol: str, *, name: str = "7", side: str = "buy", at: int = 0) -> str:
    return f"{exchange},{symbol},{NOON_US + at},{NOON_US + at + 5},{name},{side},100,3\n"


@pytest.mark.parametrize(
    ("exchange", "symbol", "code", "quantity"),
    [
        ("binance", "BTCUSDT", "BTCUSDT.BINANCE", 3.0),
        ("binance-futures", "BTCUSDT", "BTCUSDT-PERP.BINANCEUSDM", 3.0),
        ("binance-delivery", "BTCUSD_PERP", "BTCUSD-PERP-BTC.BINANCECOINM", 3.0),
        ("bitmex", "XBTUSD", "BTCUSD-PERP-BTC.BITMEX", 0.03),
        ("deribit", "ETH-PERPETUAL", "ETHUSD-PERP-ETH.DERIBIT", 0.03),
        ("deribit", "SOL_USDC-PERPETUAL", "SOLUSDC-PERP.DERIBIT", 3.0),
        ("bybit", "BTCUSD", "BTCUSD-PERP-BTC.BYBIT", 0.03),
        ("bybit", "BTCUSDT", "BTCUSDT-PERP.BYBIT", 3.0),
        ("coinbase", "BTC-USD", "BTCUSD.COINBASE", 3.0),
        ("kraken", "XBT/USD", "BTCUSD.KRAKEN", 3.0),
        ("hyperliquid", "BTC", "BTCUSDC-PERP.HYPERLIQUID", 3.0),
    ],
)
def test_amounts_are_in_the_base_asset(
    tmp_path: Path, exchange: str, symbol: str, code: str, quantity: float
) -> None:
    """Dollars and inverse contracts are divided by the price; COIN-M's is 100 dollars."""
    name = symbol.replace("/", "-")
    path = gzip_of(named(tmp_path, exchange, "trades", name), TRADES + trade(exchange, symbol))

    file = recognised(path, NOTHING)
    rows = contents_of(file).page.rows

    assert (str(file.series), file.variant) == (f"{code} trades", "single/venue")
    assert rows["quantity"].to_pylist() == [quantity]
    assert rows["ts"].to_pylist() == [NOON]
    assert rows["received_at"].to_pylist() == [NOON + timedelta(microseconds=5)]


def test_a_side_that_the_exchange_does_not_tell_is_null(tmp_path: Path) -> None:
    text = TRADES + trade("binance", "BTCUSDT", side="unknown")
    path = gzip_of(named(tmp_path, "binance", "trades", "BTCUSDT"), text)

    page = contents_of(recognised(path, NOTHING)).page

    assert page.rows["side"].to_pylist() == [None]
    assert [claim.basis for claim in page.claims] == [Basis.ROWS_ONLY]


def test_trades_without_ids_get_derived_ones(tmp_path: Path) -> None:
    text = TRADES + 2 * trade("bitstamp", "BTCUSD", name="")
    file = recognised(gzip_of(named(tmp_path, "bitstamp", "trades", "BTCUSD"), text), NOTHING)

    assert file.variant == "single/derived"
    assert contents_of(file).page.rows.num_rows == 2


def test_contracts_of_an_unknown_size_have_to_be_said(tmp_path: Path) -> None:
    text = TRADES + trade("okex-swap", "BTC-USDT-SWAP")
    path = gzip_of(named(tmp_path, "okex-swap", "trades", "BTC-USDT-SWAP"), text)
    sized = Hints(unit=Unit.from_str("contracts:0.01"))

    with pytest.raises(InvalidRequest, match="Say --unit"):
        recognise(path, NOTHING)
    rows = contents_of(recognised(path, sized)).page.rows
    assert rows["quantity"].to_pylist() == [0.03]


def test_an_instrument_that_is_not_known_here_can_be_said(tmp_path: Path) -> None:
    text = TRADES + trade("bitfinex-derivatives", "BTCF0:USTF0")
    path = gzip_of(named(tmp_path, "bitfinex-derivatives", "trades", "BTCF0USTF0"), text)
    said = Hints(Venue("BITFINEX"), "BTC/USDT:USDT", unit=Unit())

    with pytest.raises(InvalidRequest, match="Say what it is"):
        recognise(path, NOTHING)
    assert str(recognised(path, said).series) == "BTCUSDT-PERP.BITFINEX trades"


def test_liquidations_are_never_stored_as_trades(tmp_path: Path) -> None:
    """Both have the same columns: only the name tells them apart, so a name is needed."""
    text = TRADES + trade("bitmex", "XBTUSD")
    liquidations = gzip_of(named(tmp_path, "bitmex", "liquidations", "XBTUSD"), text)
    unnamed = gzip_of(tmp_path / "bitmex.csv.gz", text)

    with pytest.raises(SourceError, match="holds liquidations"):
        recognise(liquidations, NOTHING)
    with pytest.raises(InvalidRequest, match="trades or liquidations"):
        recognise(unnamed, NOTHING)
    assert recognised(unnamed, Hints(data_type=DataType.TRADES)).variant == "single/venue"


def test_other_types_and_columns_are_refused_by_name(tmp_path: Path) -> None:
    start = "exchange,symbol,timestamp,local_timestamp"
    row = f"\nbinance,BTCUSDT,{NOON_US},{NOON_US},1,2,3,4\n"
    quotes = f"{start},ask_amount,ask_price,bid_price,bid_amount{row}"
    odd = f"{start},id,side,price,size{row}"

    with pytest.raises(SourceError, match="holds quotes"):
        recognise(csv_of(tmp_path / "quotes.csv", quotes), NOTHING)
    with pytest.raises(SourceError, match=r"unknown columns \(size\)"):
        recognise(csv_of(tmp_path / "odd.csv", odd), NOTHING)


def test_a_file_without_rows_is_no_fact(tmp_path: Path) -> None:
    path = gzip_of(named(tmp_path, "binance", "trades", "BTCUSDT"), TRADES)

    with pytest.raises(SourceError, match="holds no rows"):
        recognise(path, NOTHING)


def test_a_file_named_for_another_day_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binance_trades_2024-03-02_BTCUSDT.csv.gz"
    gzip_of(path, TRADES + trade("binance", "BTCUSDT"))

    with pytest.raises(SourceError, match="its rows arrived on 2024-03-01"):
        recognise(path, NOTHING)


# Books


def level(at: int, side: str, price: float, amount: float, *, snapshot: bool = False) -> str:
    told = "true" if snapshot else "false"
    return (
        f"deribit,BTC-PERPETUAL,{NOON_US + at},{NOON_US + at + 5},{told},{side},{price},{amount}\n"
    )


def changes(tmp_path: Path, *lines: str) -> Path:
    path = named(tmp_path, "deribit", "incremental_book_L2", "BTC-PERPETUAL")
    return gzip_of(path, CHANGES + "".join(lines))


def test_a_book_is_rebuilt_and_sampled(tmp_path: Path) -> None:
    """Changes before the first snapshot are left out; dollars become the base asset."""
    path = changes(
        tmp_path,
        level(0, "bid", 50, 100),
        level(100, "bid", 100, 100, snapshot=True),
        level(100, "ask", 200, 400, snapshot=True),
        level(500_000, "ask", 200, 0),
        level(500_000, "ask", 250, 500),
        level(SECOND + 1, "bid", 50, 100),
    )

    file = recognised(path, NOTHING)
    found = contents_of(file)

    assert (str(file.series), file.variant) == (
        "BTCUSD-PERP-BTC.DERIBIT orderbook",
        "rebuilt/20/1s",
    )
    [row] = found.page.rows.to_pylist()
    assert row["ts"] == NOON + timedelta(seconds=1)
    assert (row["bid_prices"], row["bid_quantities"]) == ([100.0], [1.0])
    assert (row["ask_prices"], row["ask_quantities"]) == ([250.0], [2.0])
    assert row["received_at"] == NOON + timedelta(microseconds=500_005)
    assert "1 changes came while no book was known" in found.remark


def test_a_new_snapshot_ends_the_book_and_is_a_gap(tmp_path: Path) -> None:
    """The recording was interrupted: what came before is claimed to its last change only."""
    path = changes(
        tmp_path,
        level(0, "bid", 100, 100, snapshot=True),
        level(0, "ask", 200, 200, snapshot=True),
        level(SECOND // 2, "bid", 100, 200),
        level(9 * SECOND, "bid", 100, 300, snapshot=True),
        level(9 * SECOND, "ask", 200, 200, snapshot=True),
        level(10 * SECOND + 1, "bid", 100, 400),
    )

    page = contents_of(recognised(path, NOTHING)).page

    assert page.rows["bid_quantities"].to_pylist() == [[1.0], [3.0]]
    known = [(claim.range.start - NOON, claim.range.end - NOON) for claim in page.claims]
    assert known == [
        (timedelta(0), timedelta(seconds=0.5)),
        (timedelta(seconds=9), timedelta(seconds=10, microseconds=1)),
    ]
    [note] = page.notes
    assert (note.kind, note.ts) == ("book_break", NOON + timedelta(seconds=0.5))


def test_a_bad_line_refuses_the_whole_book(tmp_path: Path) -> None:
    """A change that is left out would make every book after it wrong."""
    path = changes(
        tmp_path,
        level(0, "bid", 100, 100, snapshot=True),
        level(SECOND, "ask", 200, 1).replace(",200,", ",x,"),
    )

    with pytest.raises(SourceError, match="no part of a book"):
        contents_of(recognised(path, NOTHING))


def test_whole_books_stand_as_they_were_told(tmp_path: Path) -> None:
    """Of two at one moment the last one is the book; a level that is not there is empty."""
    start = f"binance,BTCUSDT,{NOON_US},"
    text = (
        f"{BOOK}{start}{NOON_US + 1},101,1,99,2,102,3,98,4\n"
        f"{start}{NOON_US + 2},101,5,99,2,102,3,98,4\n"
        f"binance,BTCUSDT,{NOON_US + SECOND + 7},{NOON_US + SECOND + 8},101,5,99,2,102,3,,\n"
    )
    path = gzip_of(named(tmp_path, "binance", "book_snapshot_2", "BTCUSDT"), text)

    file = recognised(path, NOTHING)
    rows = contents_of(file).page.rows

    assert file.variant == "rebuilt/2"
    assert rows["ask_quantities"].to_pylist() == [[5.0, 3.0], [5.0, 3.0]]
    assert rows["bid_prices"].to_pylist() == [[99.0, 98.0], [99.0]]
    assert rows["ts"].to_pylist()[1] == NOON + timedelta(seconds=1, microseconds=7)
    sampled = recognised(path, Hints(every=timedelta(seconds=1), depth=1))
    assert sampled.variant == "rebuilt/1/1s"
    samples = contents_of(sampled).page.rows
    assert samples["ts"].to_pylist() == [NOON]
    assert samples["ask_prices"].to_pylist() == [[101.0]]


# Funding


def ticker(at: int, due: int | str, rate: float | str) -> str:
    return f"binance-futures,BTCUSDT,{NOON_US + at},{NOON_US + at + 5},{due},{rate},,1,2,3,4\n"


def test_a_settlement_is_what_was_told_last_before_it(tmp_path: Path) -> None:
    """The rate moves until then; one that the file does not reach is not known."""
    four = NOON_US + 4 * 3600 * SECOND
    text = TICKER + "".join(
        [
            ticker(0, "", ""),
            ticker(4 * 3600 * SECOND - 60 * SECOND, four, 0.0002),
            ticker(4 * 3600 * SECOND - SECOND, four, 0.0001),
            ticker(4 * 3600 * SECOND + SECOND, four, 0.9),
            ticker(4 * 3600 * SECOND + SECOND, four + 8 * 3600 * SECOND, 0.0005),
        ]
    )
    path = gzip_of(named(tmp_path, "binance-futures", "derivative_ticker", "BTCUSDT"), text)

    file = recognised(path, NOTHING)
    rows = contents_of(file).page.rows

    assert str(file.series) == "BTCUSDT-PERP.BINANCEUSDM funding_rates"
    assert rows["ts"].to_pylist() == [datetime(2024, 3, 1, 16)]
    assert rows["funding_rate"].to_pylist() == [0.0001]


def test_a_rate_told_long_before_is_no_settlement(tmp_path: Path) -> None:
    due = NOON_US + 3600 * SECOND
    text = TICKER + ticker(0, due, 0.0002) + ticker(2 * 3600 * SECOND, due + 3600 * SECOND, "")
    path = gzip_of(named(tmp_path, "binance-futures", "derivative_ticker", "BTCUSDT"), text)

    with pytest.raises(SourceError, match="tells no settlement"):
        contents_of(recognised(path, NOTHING))


# Damage


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = changes(tmp_path, *(level(at, "bid", 100, 1) for at in range(2000)))
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(SourceError, match="cut short"):
        contents_of(recognised(path, NOTHING))
