"""Tiny files of Gate: all are called alike, and their columns say what they are."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from archive_kit import contents_of, csv_of, gzip_of, recognised

from lake.errors import InvalidRequest, SourceError
from lake.sources.archive import Hints, recognise
from lake.sources.archive.mapping import Unit

NOTHING = Hints()
NOON = datetime(2024, 3, 1, 12)
CANDLES = "1709294400,300,101,102,99,100\n1709298000,200,102,103,100,101\n"
SIZED = Unit.from_str("contracts:0.01")


def test_candles_of_perpetuals_are_in_contracts(tmp_path: Path) -> None:
    """Their columns run backwards; folders say what and how long they are."""
    folder = tmp_path / "futures_usdt" / "candlesticks_1h" / "202403"
    path = gzip_of(folder / "BTC_USDT-202403.csv.gz", CANDLES)

    with pytest.raises(InvalidRequest, match="Say --unit"):
        recognise(path, NOTHING)
    file = recognised(path, Hints(unit=SIZED))
    row = contents_of(file).page.rows.to_pylist()[0]

    assert str(file.series) == "BTCUSDT-PERP.GATE ohlcv 1h"
    assert (row["ts"], row["open"], row["high"], row["low"]) == (NOON, 100, 102, 99)
    assert (row["close"], row["volume"]) == (101, 3.0)


def test_the_unit_of_spot_volumes_is_not_known(tmp_path: Path) -> None:
    path = gzip_of(tmp_path / "spot/candlesticks_1h/202403/BTC_USDT-202403.csv.gz", CANDLES)

    with pytest.raises(InvalidRequest, match="in BTC or in USDT"):
        recognise(path, NOTHING)
    assert str(recognised(path, Hints(unit=Unit())).series) == "BTCUSDT.GATE ohlcv 1h"


def test_a_file_outside_of_its_folders_has_to_be_explained(tmp_path: Path) -> None:
    path = gzip_of(tmp_path / "BTC_USDT-202403.csv.gz", CANDLES)
    spot = Hints(instrument="BTC/USDT", unit=Unit())

    with pytest.raises(InvalidRequest, match="spot or of perpetuals"):
        recognise(path, NOTHING)
    with pytest.raises(InvalidRequest, match="--timeframe 1m"):
        recognise(path, spot)


def test_trades_of_perpetuals_are_negative_where_the_taker_sold(tmp_path: Path) -> None:
    text = "1709294400.25,7,100,-3\n1709294401.5,8,101,5\n1709294402,9,101,0\n"
    path = csv_of(tmp_path / "BTC_USDT-202403.csv", text)

    file = recognised(path, Hints(unit=SIZED))
    page = contents_of(file).page

    assert (str(file.series), file.variant) == ("BTCUSDT-PERP.GATE trades", "single/venue")
    assert page.rows["side"].to_pylist() == ["sell", "buy"]
    assert page.rows["quantity"].to_pylist() == [0.03, 0.05]
    assert page.rows["ts"][0].as_py() == NOON.replace(microsecond=250_000)
    assert [bad.reason for bad in page.rejected] == ["quantity is not a positive number"]


def test_funding_is_a_time_and_a_rate(tmp_path: Path) -> None:
    text = "1709280000,0.0001\n1709308800,-0.0002\n"
    path = gzip_of(tmp_path / "BTC_USDT-202403.csv.gz", text)

    file = recognised(path, NOTHING)
    rows = contents_of(file).page.rows

    assert str(file.series) == "BTCUSDT-PERP.GATE funding_rates"
    assert rows["ts"].to_pylist() == [datetime(2024, 3, 1, 8), datetime(2024, 3, 1, 16)]
    assert rows["funding_rate"].to_pylist() == [0.0001, -0.0002]


def test_another_number_of_columns_is_not_known(tmp_path: Path) -> None:
    """Candles with a seventh column are told of, and not of what it is."""
    path = gzip_of(tmp_path / "BTC_USDT-202403.csv.gz", "1709294400,300,101,102,99,100,3\n")

    with pytest.raises(SourceError, match="is not recognised"):
        recognise(path, NOTHING)


def test_dollars_of_bitcoin_margined_perpetuals_are_not_read(tmp_path: Path) -> None:
    path = gzip_of(tmp_path / "BTC_USD-202403.csv.gz", "1709280000,0.0001\n")

    with pytest.raises(InvalidRequest, match="only USDT perpetuals"):
        recognise(path, NOTHING)
