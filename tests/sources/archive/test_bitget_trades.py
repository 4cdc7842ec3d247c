"""Tiny files of Bitget: trades, cut into parts; and spreadsheets, which are refused."""

from __future__ import annotations

import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from archive_kit import contents_of, epoch_ms, recognised, zip_of

from lake.domain.coverage import Basis
from lake.domain.identifiers import DataType, Venue
from lake.domain.ranges import TimeRange
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive import Hints, NotRecognised, recognise
from lake.sources.archive.mapping import Mapping, Unit

NOTHING = Hints()
HEADER = "trade_id,timestamp,price,side,volume(quote),size(base)\n"
START = datetime(2024, 12, 31, 16)
FIRST_ID = 1125384109708226660
NAME = "BTCUSDT_SPBL_20250101_001.zip"


def trade(number: int, *, side: str = "buy", price: str = "100") -> str:
    moment = epoch_ms(START + timedelta(seconds=number))
    return f"{FIRST_ID + 7 * number},{moment},{price},{side},50,0.5\n"


def test_a_part_of_a_day_promises_nothing(tmp_path: Path) -> None:
    """Nothing says how many parts there are."""
    path = zip_of(tmp_path / NAME, HEADER + trade(1, side="SELL") + trade(0))

    file = recognised(path, NOTHING)
    page = contents_of(file).page
    first, last = page.rows.to_pylist()

    assert (str(file.series), file.variant) == ("BTCUSDT.BITGET trades", "single/venue")
    assert (first["ts"], first["trade_id"], first["side"]) == (START, FIRST_ID, "buy")
    assert (last["price"], last["quantity"], last["side"]) == (100, 0.5, "sell")
    [claim] = page.claims
    assert claim.basis is Basis.ROWS_ONLY
    assert claim.range == TimeRange(START, START + timedelta(seconds=1, microseconds=1))


@pytest.mark.parametrize(
    ("folders", "series"),
    [
        ("SPBL/ETHBTC", "ETHBTC.BITGET trades"),
        ("UMCBL/BTCUSDT", "BTCUSDT-PERP.BITGET trades"),
        ("CMCBL/BTCPERP", "BTCUSDC-PERP.BITGET trades"),
        ("DMCBL/BTCUSD", "BTCUSD-PERP-BTC.BITGET trades"),
    ],
)
def test_folders_say_the_market_of_newer_files(tmp_path: Path, folders: str, series: str) -> None:
    path = zip_of(tmp_path / folders / "20250101_001.zip", HEADER + trade(0))

    file = recognised(path, NOTHING)

    assert str(file.series) == series
    assert contents_of(file).page.rows["quantity"].to_pylist() == [0.5]


def test_what_is_inside_says_it_too(tmp_path: Path) -> None:
    inner = "BTCUSDT_SPBL_20250101_001.csv"
    alone = zip_of(tmp_path / "20250101_001.zip", HEADER + trade(0), member=inner)
    wrong = zip_of(tmp_path / "UMCBL/BTCUSDT/20250101_001.zip", HEADER + trade(0), member=inner)
    other = zip_of(tmp_path / "20250101_002.zip", HEADER + trade(0), member=inner)
    untold = zip_of(tmp_path / "20250101_003.zip", HEADER + trade(0))

    assert str(recognised(alone, NOTHING).series) == "BTCUSDT.BITGET trades"
    for path in (wrong, other):
        with pytest.raises(
            SourceError, match=r"holds BTCUSDT_SPBL_20250101_001\.csv, which is not"
        ):
            recognise(path, NOTHING)
    with pytest.raises(InvalidRequest, match="does not say of which market it is"):
        recognise(untold, NOTHING)


def test_rows_that_are_none_go_to_quarantine(tmp_path: Path) -> None:
    bad = [trade(2, price="nan"), trade(3, side="hold")]
    path = zip_of(tmp_path / NAME, HEADER + trade(0) + trade(1) + "".join(bad))

    page = contents_of(recognised(path, NOTHING)).page

    assert page.rows.num_rows == 2
    assert [row.raw for row in page.rejected] == [each.strip() for each in bad]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (NAME, HEADER.replace("side", "taker") + trade(0), r"unknown columns \(taker\)"),
        (NAME, HEADER + trade(0).replace("50,0.5", "50,5000"), "not in the base asset"),
        ("BTCUSDH25_DMCBL_20250101_001.zip", HEADER + trade(0), "no perpetual"),
        ("20250101_001.zip", "a,b\n1,2\n", "is not recognised"),
    ],
)
def test_other_files_are_refused_by_name(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        recognise(zip_of(tmp_path / name, text), NOTHING)


def test_a_unit_that_the_header_contradicts_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "UMCBL/BTCUSDT/20250101_001.zip", HEADER + trade(0))

    with pytest.raises(InvalidRequest, match="counts in the base asset: leave --unit out"):
        recognise(path, Hints(unit=Unit.from_str("contracts:0.001")))


@pytest.mark.parametrize("name", ["20250101.zip", "BTCUSDT_SP_1min_20180725.zip"])
@pytest.mark.parametrize("is_mapped", [False, True])
def test_spreadsheets_in_zips_are_refused_with_what_to_do(
    tmp_path: Path, name: str, is_mapped: bool
) -> None:
    """Bitget's candles and books are such."""
    path = zip_of(tmp_path / "SP" / name, b"PK\x03\x04", member="BTCUSDT_SP_1min_20180725.xlsx")
    columns = {name: name for name in ("ts", "price", "quantity")}
    mapped = Hints(Venue("BITGET"), "BTC/USDT", DataType.TRADES, mapping=Mapping(columns=columns))

    with pytest.raises(SourceError, match=r"xlsx', a spreadsheet.* Save it as CSV, and .* --map"):
        recognise(path, mapped if is_mapped else NOTHING)


def test_a_spreadsheet_itself_is_refused_likewise(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "candles.xlsx", "<Types/>", member="[Content_Types].xml")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")

    with pytest.raises(SourceError, match=r"candles\.xlsx is a spreadsheet.* Save it as CSV"):
        recognise(path, NOTHING)
    path.write_text("not even that")
    with pytest.raises(NotRecognised):
        recognise(path, NOTHING)
