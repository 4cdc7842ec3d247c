"""Recorded files of every format: imported as their README says, or rightly refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from archive_kit import NOW, REAL_DATA, needs_real_data

from lake.domain.coverage import Basis
from lake.domain.gaps import GapReason
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.ingestion.imports import FileOutcome, FileState, import_files
from lake.sources.archive.mapping import Mapping, Unit
from lake.sources.archive.mapping_text import mapping_of
from lake.storage.gaps import find_gaps
from lake.storage.lake import Storage
from tests.real import readers

pytestmark = needs_real_data
BINANCE = Venue("BINANCE")
MINUTE, HOUR, DAY = TimeFrame.MINUTE_1, TimeFrame.HOUR_1, TimeFrame.DAY_1


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "lake", create=True) as opened:
        yield opened


def bring(storage: Storage, *names: str, **hints: Any) -> list[FileOutcome]:
    paths = [REAL_DATA / name for name in names]
    return list(import_files(storage, paths, now=NOW, **hints).files)


def series(code: str, data_type: DataType, timeframe: TimeFrame | None = None) -> Series:
    return Series(data_type, InstrumentId.from_str(code), timeframe)


def held(storage: Storage, each: Series) -> pa.Table:
    """All rows of *each*, ascending."""
    covered = [row.range for row in storage.catalog.coverage(each)]
    hull = TimeRange(covered[0].start, covered[-1].end)
    tables = [storage.read_partition(partition) for partition, _ in split(each, hull)]
    return pa.concat_tables([table for table in tables if table is not None]).combine_chunks()


# freqtrade


def test_freqtrades_trades_build_its_candles(storage: Storage) -> None:
    """12,477 trades aggregate exactly to 2,469 candles of a minute."""
    candles, trades = bring(
        storage, "freqtrade/XRP_ETH-1m.feather", "freqtrade/XRP_ETH-trades.json.gz", venue=BINANCE
    )

    assert (candles.state, candles.rows) == (FileState.STORED, 2_469)
    assert (trades.state, trades.rows) == (FileState.STORED, 12_477)
    rows = held(storage, series("XRPETH.BINANCE", DataType.TRADES))
    expected = readers.freqtrade_trades().rows
    assert rows.sort_by("trade_id").equals(expected.sort_by("trade_id"))
    bars = held(storage, series("XRPETH.BINANCE", DataType.OHLCV, MINUTE))
    minutes = rows["ts"].cast(pa.int64()).to_numpy() // 60_000_000
    unique, first = np.unique(minutes, return_index=True)
    assert (bars["ts"].cast(pa.int64()).to_numpy() // 60_000_000 == unique).all()
    prices, sizes = rows["price"].to_numpy(), rows["quantity"].to_numpy()
    assert (bars["open"].to_numpy() == prices[first]).all()
    assert (bars["high"].to_numpy() == np.maximum.reduceat(prices, first)).all()
    assert (bars["low"].to_numpy() == np.minimum.reduceat(prices, first)).all()
    assert np.allclose(bars["volume"].to_numpy(), np.add.reduceat(sizes, first))


def test_the_same_trades_as_parquet_are_held_already(storage: Storage) -> None:
    """And they are a series of aggregates, so the exchange's own join it."""
    bring(storage, "freqtrade/XRP_ETH-trades.json.gz", venue=BINANCE)
    before = held(storage, series("XRPETH.BINANCE", DataType.TRADES))

    [again] = bring(storage, "freqtrade/XRP_ETH-trades.parquet", venue=BINANCE)

    assert (again.state, again.rows) == (FileState.UNCHANGED, 12_477)
    assert held(storage, series("XRPETH.BINANCE", DataType.TRADES)).equals(before)
    info = storage.catalog.series_info(series("XRPETH.BINANCE", DataType.TRADES))
    assert info is not None
    assert info.variant == "aggregate/venue"


def test_freqtrades_futures_are_those_of_binance_usdm(storage: Storage) -> None:
    """A rate in the column `open`, times up to 17 ms and more off the hour."""
    candles, funding = bring(storage, "freqtrade/futures", venue=BINANCE)

    assert (candles.rows, funding.rows) == (100, 91)
    bars = held(storage, series("XRPUSDT-PERP.BINANCEUSDM", DataType.OHLCV, HOUR))
    assert bars["volume"][0].as_py() == 3153694.607359
    rates = held(storage, series("XRPUSDT-PERP.BINANCEUSDM", DataType.FUNDING_RATES))
    assert rates["ts"][0].as_py() == datetime(2021, 11, 18)
    assert rates["settled_at"][0].as_py() == datetime(2021, 11, 18, 0, 0, 0, 17_000)
    assert rates["funding_rate"][0].as_py() == 0.0001
    assert set(rates["interval_hours"].to_pylist()) == {8.0}


def test_the_exchange_has_to_be_said(storage: Storage) -> None:
    [outcome] = bring(storage, "freqtrade/XRP_ETH-1m.feather")

    assert outcome.state is FileState.REFUSED
    assert "does not say of which exchange" in outcome.reason


def test_a_csv_of_no_known_format_is_imported_with_a_mapping(storage: Storage) -> None:
    """1,000 trades with an unnamed first column; `cost` and the repeated time are ignored."""
    mapping = mapping_of(
        {
            "ts": "timestamp",
            "trade_id": "id",
            "side": "side",
            "price": "price",
            "quantity": "amount",
        },
        ignore=["1", "type", "cost", "date"],
    )
    hints = {"venue": BINANCE, "data_type": DataType.TRADES, "instrument": "ETH/USDT"}

    [outcome] = bring(storage, "freqtrade/public_trades_list.csv", mapping=mapping, **hints)

    assert (outcome.state, outcome.rows) == (FileState.STORED, 1_000)
    rows = held(storage, series("ETHUSDT.BINANCE", DataType.TRADES))
    first = rows.slice(0, 1).to_pylist()[0]
    assert (first["trade_id"], first["price"], first["quantity"], first["side"]) == (
        1206419187,
        1666.8,
        26.062,
        "buy",
    )
    assert first["ts"] == datetime(2023, 2, 2, 9, 20, 0, 138_000)


# Kraken


def test_krakens_repeated_rows_are_all_kept(storage: Storage) -> None:
    """Two rows of 148 are equal in time, price and size; nothing in the file tells them apart."""
    [outcome] = bring(storage, "freqtrade/kraken_trades_csv/BCHEUR.csv")

    assert (outcome.state, outcome.rows) == (FileState.STORED, 148)
    rows = held(storage, series("BCHEUR.KRAKEN", DataType.TRADES))
    assert rows.num_rows == 148
    assert len({*rows["trade_ref"].to_pylist()}) == 148
    plain = rows.select(["ts", "price", "quantity"]).to_pylist()
    assert len({tuple(row.values()) for row in plain}) == 147
    expected = readers.kraken_trades().sort_by([("ts", "ascending"), ("trade_ref", "ascending")])
    assert rows.equals(expected)


def test_a_saved_answer_of_kraken_ends_before_its_running_candle(storage: Storage) -> None:
    """721 rows, of which the last had not closed; 216 quiet minutes are rows with volume 0."""
    [outcome] = bring(storage, "nautilus/kraken_rest/http_ohlc.json")

    assert (outcome.state, outcome.rows) == (FileState.STORED, 720)
    rows = held(storage, series("BTCUSDT.KRAKEN", DataType.OHLCV, MINUTE))
    assert rows["ts"][0].as_py() == datetime(2025, 11, 10, 12, 17)
    assert rows["ts"][-1].as_py() == datetime(2025, 11, 11, 0, 16)
    # The candle that was still running is one of the README's 216.
    assert int((rows["volume"].to_numpy() == 0).sum()) == 215


# Lean


def test_leans_candles_are_those_of_its_readme(storage: Storage) -> None:
    """Minutes, days and seconds; a quote file among them is refused by name."""
    found = bring(storage, "lean_coinbase", venue=Venue("COINBASE"))

    by_name = {f"{each.path.parent.name}/{each.path.name}": each for each in found}
    rows = {name: each.rows for name, each in by_name.items() if each.state is FileState.STORED}
    assert rows == {
        "daily/btcusd_trade.zip": 1_318,
        "minute_btcusd/20170903_trade.zip": 1_440,
        "minute_btcusd/20170904_trade.zip": 1_440,
        "minute_btcusd/20171217_trade.zip": 1_440,
        "minute_btcusd/20180404_trade.zip": 1_007,
        "minute_btcusd/20180405_trade.zip": 1_440,
        "minute_btcusd/20180406_trade.zip": 1_440,
        "minute_ethusd/20170903_trade.zip": 1_440,
        "minute_ethusd/20170904_trade.zip": 1_440,
        "second_btcusd/20161008_trade.zip": 3_453,
    }
    quotes = by_name["minute_btcusd/20180404_quote.zip"]
    assert quotes.state is FileState.REFUSED
    assert "holds quotes" in quotes.reason


def test_leans_minutes_are_equal_in_every_column(storage: Storage) -> None:
    bring(storage, "lean_coinbase/minute_btcusd/20170903_trade.zip", venue=Venue("COINBASE"))

    path = REAL_DATA / "lean_coinbase/minute_btcusd/20170903_trade.zip"
    expected = readers.lean_candles(path).rows
    assert held(storage, series("BTCUSD.COINBASE", DataType.OHLCV, MINUTE)).equals(expected)


@pytest.mark.parametrize(
    ("name", "venue", "code", "timeframe", "rows"),
    [
        ("lean_binance/hour/btcusdt_trade.zip", "BINANCE", "BTCUSDT", HOUR, 120),
        ("lean_binance/minute_btcbusd/20221213_trade.zip", "BINANCE", "BTCBUSD", MINUTE, 1_440),
        ("lean_bybit/minute_btcusdt/20221213_trade.zip", "BYBIT", "BTCUSDT", MINUTE, 1_440),
    ],
)
def test_leans_other_markets(
    storage: Storage, name: str, venue: str, code: str, timeframe: TimeFrame, rows: int
) -> None:
    """What is absent may be quiet or cut: such a file promises nothing, whatever its CRC."""
    [outcome] = bring(storage, name, venue=Venue(venue))

    assert (outcome.state, outcome.rows) == (FileState.STORED, rows)
    [coverage] = storage.catalog.coverage(series(f"{code}.{venue}", DataType.OHLCV, timeframe))
    assert (coverage.basis, coverage.source) == (Basis.ROWS_ONLY, "import")


def test_leans_margin_interest_is_funding(storage: Storage) -> None:
    """Of a coin-margined contract where the name ends in USD; its folder names the exchange."""
    inverse, linear = bring(storage, "lean_funding")

    assert (inverse.rows, linear.rows) == (12, 3)
    coin = held(storage, series("BTCUSD-PERP-BTC.BINANCECOINM", DataType.FUNDING_RATES))
    assert coin["ts"][0].as_py() == datetime(2020, 12, 29)
    assert coin["funding_rate"][1].as_py() == 0.00046053
    rates = held(storage, series("BTCUSDT-PERP.BYBIT", DataType.FUNDING_RATES))
    assert rates["funding_rate"].to_pylist() == [-0.0002016, -0.00022398, -0.00038555]


# Funding


def test_local_times_are_noticed_and_read_in_their_zone(storage: Storage) -> None:
    """Two of three files were written three hours ahead of UTC, and none says so."""
    binance, bybit, gate = bring(storage, "funding_history_csv")

    assert [each.state for each in (binance, bybit, gate)] == [
        FileState.REFUSED,
        FileState.REFUSED,
        FileState.STORED,
    ]
    for outcome in (binance, bybit):
        assert "03:00, 11:00, 19:00" in outcome.reason
        assert "--timezone +03:00" in outcome.reason
    again = bring(storage, "funding_history_csv", timezone="+03:00")
    assert [each.state for each in again] == [
        FileState.STORED,
        FileState.STORED,
        FileState.UNCHANGED,
    ]


@pytest.mark.parametrize(
    ("word", "venue", "rows", "zone"),
    [
        ("binance", "BINANCEUSDM", 4_383, "Europe/Istanbul"),
        ("bybit", "BYBIT", 3_285, "+03:00"),
        ("gate", "GATE", 4_290, None),
    ],
)
def test_funding_is_that_of_the_readme(
    storage: Storage, word: str, venue: str, rows: int, zone: str | None
) -> None:
    [path] = (REAL_DATA / "funding_history_csv").glob(f"*_{word}_*.csv")

    [outcome] = bring(storage, f"funding_history_csv/{path.name}", timezone=zone)

    assert (outcome.state, outcome.rows, outcome.rejected) == (FileState.STORED, rows, 0)
    found = held(storage, series(f"BTCUSDT-PERP.{venue}", DataType.FUNDING_RATES))
    expected = readers.funding_history(word).rows
    names = ["ts", "settled_at", "funding_rate"]
    assert found.select(names).equals(expected.select(names))


def test_gate_lacks_december_2020(storage: Storage) -> None:
    """93 settlements; the file promises nothing, so nobody has asked for them."""
    bring(storage, "funding_history_csv/BTC-USDT_gate_2020-01-01_2024-01-01_funding_history.csv")

    [gap] = find_gaps(storage, [series("BTCUSDT-PERP.GATE", DataType.FUNDING_RATES)])

    assert gap.range == TimeRange(datetime(2020, 12, 1), datetime(2021, 1, 1))
    assert (gap.missing_count, gap.reason) == (93, GapReason.NOT_FETCHED)


def test_a_wrong_zone_for_right_times_is_refused(storage: Storage) -> None:
    [outcome] = bring(
        storage,
        "funding_history_csv/BTC-USDT_gate_2020-01-01_2024-01-01_funding_history.csv",
        timezone="+03:00",
    )

    assert outcome.state is FileState.REFUSED
    assert "with --timezone +03:00" in outcome.reason


def test_funding_as_json_says_no_quote_asset(storage: Storage) -> None:
    name = "funding_history_json/binance_BTC_funding_rates.json"
    [unsaid] = bring(storage, name)
    [outcome] = bring(storage, name, instrument="BTC/USDT:USDT")

    assert "but not against what" in unsaid.reason
    assert (outcome.state, outcome.rows, outcome.rejected) == (FileState.STORED, 4_377, 0)
    rates = held(storage, series("BTCUSDT-PERP.BINANCEUSDM", DataType.FUNDING_RATES))
    assert rates["settled_at"][0].as_py() == datetime(2022, 1, 1, 0, 0, 0, 6_000)
    assert rates["ts"][-1].as_py() == datetime(2025, 12, 29, 16)


# What no reader can make right


def ftx_mapping() -> Mapping:
    names = ("open", "high", "low", "close", "volume")
    return mapping_of({"ts": "timestamp", **{name: name for name in names}})


def test_candles_with_a_volume_in_dollars_are_refused(storage: Storage) -> None:
    """A candle's base volume does not follow from its quote volume."""
    [outcome] = bring(
        storage,
        "nautilus/ftx/btc-perp-20211231-20220201_1m.csv.gz",
        venue=Venue("FTX"),
        instrument="BTC/USD:USD",
        data_type=DataType.OHLCV,
        timeframe=MINUTE,
        unit=Unit.from_str("quote"),
        mapping=ftx_mapping(),
    )

    assert outcome.state is FileState.REFUSED
    assert "A candle's volume in USD is not its volume in BTC" in outcome.reason


def test_a_derivatives_unit_has_to_be_said(storage: Storage) -> None:
    """Whoever says that it is the base asset is believed: 45,031 candles."""
    hints: dict[str, Any] = {
        "venue": Venue("FTX"),
        "instrument": "BTC/USD:USD",
        "data_type": DataType.OHLCV,
        "timeframe": MINUTE,
        "mapping": ftx_mapping(),
    }
    name = "nautilus/ftx/btc-perp-20211231-20220201_1m.csv.gz"
    [unsaid] = bring(storage, name, **hints)
    [said] = bring(storage, name, **hints, unit=Unit.from_str("base"))

    assert "nothing says whether its amounts are in BTC or in contracts" in unsaid.reason
    assert (said.state, said.rows) == (FileState.STORED, 45_031)


def test_a_candle_file_of_no_known_format_says_how_to_map_it(storage: Storage) -> None:
    [outcome] = bring(storage, "nautilus/ftx/btc-perp-20211231-20220201_1m.csv.gz")

    assert outcome.state is FileState.REFUSED
    assert "--map" in outcome.reason


# Tardis


def test_tardis_trades_of_inverse_contracts_are_in_the_base_asset(storage: Storage) -> None:
    """Ten trades of BitMEX: ids are text, an amount is a number of dollars."""
    [outcome] = bring(storage, "nautilus/tardis/bitmex_trades_XBTUSD.csv")

    assert (outcome.state, outcome.rows, outcome.rejected) == (FileState.STORED, 10, 0)
    rows = held(storage, series("BTCUSD-PERP-BTC.BITMEX", DataType.TRADES)).to_pylist()
    [first] = [row for row in rows if row["trade_ref"] == "ccc3c1fa-212c-e8b0-1706-9b9c4f3d5ecf"]
    assert first["ts"] == datetime(2020, 3, 1, 0, 0, 3, 145_000)
    assert first["quantity"] == 2152 / 8531.5
    assert first["side"] == "sell"


@pytest.mark.parametrize("levels", [5, 25])
def test_tardis_snapshots_are_equal_in_every_column(storage: Storage, levels: int) -> None:
    name = f"nautilus/tardis/binance-futures_book_snapshot_{levels}_BTCUSDT.csv"

    [outcome] = bring(storage, name)

    assert (outcome.state, outcome.rows, outcome.rejected) == (FileState.STORED, 10, 0)
    books = series("BTCUSDT-PERP.BINANCEUSDM", DataType.ORDERBOOK)
    assert held(storage, books).equals(readers.tardis_books(levels).rows)
    info = storage.catalog.series_info(books)
    assert info is not None
    assert info.variant == f"rebuilt/{levels}"


def test_a_snapshot_without_changes_makes_no_book(storage: Storage) -> None:
    """The recorded piece is fifteen asks of one snapshot: nothing proves that it is all."""
    name = "nautilus/tardis/deribit_incremental_book_L2_BTC-PERPETUAL.csv"

    [outcome] = bring(storage, name)

    assert outcome.state is FileState.REFUSED
    assert "no snapshot with changes after it" in outcome.reason


# Binance's T_DEPTH


def test_pieces_of_a_depth_file_make_no_book(storage: Storage) -> None:
    """The recorded piece of the snapshot has a hundred bids and no asks: it was cut."""
    snaps, updates = bring(storage, "nautilus/binance")

    assert snaps.state is FileState.SKIPPED
    assert "both are read together" in snaps.reason
    assert updates.state is FileState.REFUSED
    assert "btcusdt-depth-snap.csv has a snapshot without asks" in updates.reason
    books = series("BTCUSDT-PERP.BINANCEUSDM", DataType.ORDERBOOK)
    assert not storage.catalog.partitions(books)
    assert not storage.catalog.coverage(books)
