"""Tiny files of KuCoin: candles of spot and futures, and funding, called as Binance's are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from archive_kit import checksum_of, contents_of, csv_of, epoch_ms, lines, recognised, zip_of

from lake.domain.coverage import Basis
from lake.domain.identifiers import Venue
from lake.domain.ranges import TimeRange
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive import Hints, recognise
from lake.sources.archive.mapping import Unit

NOTHING = Hints()
SIZED = Hints(unit=Unit.from_str("contracts:0.001"))
SPOT = "time,open,close,high,low,volume,turnover\n"
FUTURES = "time,open,high,low,close,volume\n"
FUNDING = "symbol,time,fundingRate\n"
START = datetime(2025, 1, 1)
DAY = TimeRange(START, START + timedelta(days=1))
NAME = "BTCUSDT-1m-2025-01-01.zip"
PERPETUAL = "BTCUSDTM-1m-2025-01-01.zip"


def spot(numbers: Iterable[int], *, unit: int = 1) -> str:
    moments = (epoch_ms(START) // 1_000 + 60 * number for number in numbers)
    return SPOT + "".join(f"{moment * unit},100,101,102,99,2,202\n" for moment in moments)


def futures(numbers: Iterable[int]) -> str:
    moments = (epoch_ms(START) + 60_000 * number for number in numbers)
    return FUTURES + "".join(f"{moment},100,102,99,101,2000\n" for moment in moments)


@pytest.mark.parametrize("unit", [1, 1_000])
def test_spot_says_the_close_before_the_high(tmp_path: Path, unit: int) -> None:
    """Its days are those of UTC; newest first or not, seconds or not; a hole is a fact."""
    text = spot((number for number in range(1_439, -1, -1) if number != 700), unit=unit)
    path = zip_of(tmp_path / NAME, text)
    checksum_of(path, kind="md5")

    file = recognised(path, NOTHING)
    contents = contents_of(file)
    row = contents.page.rows.to_pylist()[0]

    assert str(file.series) == "BTCUSDT.KUCOIN ohlcv 1m"
    assert (row["ts"], row["open"], row["high"], row["low"]) == (START, 100, 102, 99)
    assert (row["close"], row["volume"], row["quote_volume"]) == (101, 2, 202)
    [claim] = contents.page.claims
    assert (claim.range, claim.basis, claim.evidence) == (DAY, Basis.ARCHIVE, "zip CRC, md5")
    assert (contents.page.rows.num_rows, contents.remark) == (1_439, "")


def test_files_of_that_name_are_still_binances(tmp_path: Path) -> None:
    path = zip_of(tmp_path / NAME, lines(START, 1_440))

    assert str(recognised(path, Hints(Venue("BINANCE"))).series) == "BTCUSDT.BINANCE ohlcv 1m"
    with pytest.raises(InvalidRequest, match="is of KUCOIN, but --venue says BINANCE"):
        recognise(zip_of(tmp_path / NAME, spot([0])), Hints(Venue("BINANCE")))


def test_a_file_that_is_cut_short_claims_no_more_than_had_closed(tmp_path: Path) -> None:
    contents = contents_of(recognised(zip_of(tmp_path / NAME, spot(range(60))), NOTHING))

    assert contents.page.claims[0].range == TimeRange(START, START + timedelta(minutes=59))
    assert contents.page.rows.num_rows == 60
    assert "the 1,380 candles missing after it are not taken as fact" in contents.remark


def test_a_plain_csv_with_a_hole_proves_nothing(tmp_path: Path) -> None:
    text = spot(number for number in range(1_440) if number != 700)
    path = csv_of(tmp_path / NAME.replace("zip", "csv"), text)

    contents = contents_of(recognised(path, NOTHING))

    assert contents.page.claims[0].basis is Basis.ROWS_ONLY
    assert "nothing proves it intact" in contents.remark


def test_perpetuals_are_in_contracts(tmp_path: Path) -> None:
    """Bitcoin's futures are called XBT by the exchange, and BTC by its files."""
    path = zip_of(tmp_path / PERPETUAL, futures(range(1_440)))

    with pytest.raises(InvalidRequest, match="Say --unit base, or --unit contracts:SIZE"):
        recognise(path, NOTHING)
    file = recognised(path, SIZED)
    row = contents_of(file).page.rows.to_pylist()[0]

    assert str(file.series) == "BTCUSDT-PERP.KUCOINFUTURES ohlcv 1m"
    assert file.instrument.native_id == "XBTUSDTM"
    assert (row["high"], row["close"], row["volume"]) == (102, 101, 2.0)
    assert row["quote_volume"] is None


def test_dollars_of_inverse_perpetuals_are_no_base_volume(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "BTCUSDM-1m-2025-01-01.zip", futures([0]))

    with pytest.raises(InvalidRequest, match="Import its trades instead"):
        recognise(path, Hints(unit=Unit.from_str("contracts:1")))


def test_rows_that_are_none_go_to_quarantine(tmp_path: Path) -> None:
    bad = f"{epoch_ms(START) // 1_000 + 180},100,nan,102,99,2,202\n"
    path = zip_of(tmp_path / NAME, spot([0, 1]) + bad)

    page = contents_of(recognised(path, NOTHING)).page

    assert page.rows.num_rows == 2
    assert [row.raw for row in page.rejected] == [bad.strip()]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (f"mark/BTCUSDTM/1m/{PERPETUAL}", futures([0]), "its candles are ohlcv_mark"),
        (PERPETUAL, "time,open,high,low,close\n1,2,3,1,2\n", "mark or index prices"),
        ("BTCUSDTM-1d-2025-01-01.zip", f"{FUTURES}1735689600000,1,2,1,2\n", "and has none"),
        (NAME, "time,open,close,high,low,volume,count\n1,1,1,1,1,1,1\n", r"columns \(count\)"),
        (PERPETUAL, spot([0]), r"unknown columns \(turnover\)"),
        (NAME, futures([0]), "has other columns"),
        ("XBTMH25-1m-2025-01-01.zip", futures([0]), "no perpetual"),
        (NAME.replace("01-01", "02-30"), spot([0]), "a day that does not exist"),
    ],
)
def test_other_files_are_refused_by_name(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises((SourceError, InvalidRequest), match=message):
        recognise(zip_of(tmp_path / name, text), SIZED)


# Funding


@pytest.mark.parametrize("called", ["BTCUSDTM", "XBTUSDTM"])
def test_funding_of_a_day(tmp_path: Path, called: str) -> None:
    moments = [epoch_ms(START + timedelta(hours=hour)) for hour in (4, 12, 20)]
    text = FUNDING + "".join(f"{called},{moment},-0.0001\n" for moment in reversed(moments))

    file = recognised(zip_of(tmp_path / "BTCUSDTM-fundingRates-2025-01-01.zip", text), NOTHING)
    contents = contents_of(file)
    rows = contents.page.rows

    assert str(file.series) == "BTCUSDT-PERP.KUCOINFUTURES funding_rates"
    assert rows["ts"].to_pylist() == [START + timedelta(hours=hour) for hour in (4, 12, 20)]
    assert rows["funding_rate"].to_pylist() == [-0.0001] * 3
    [claim] = contents.page.claims
    assert (claim.range, claim.basis) == (DAY, Basis.ARCHIVE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{FUNDING}ETHUSDTM,1735689600000,0.1\n", "holds funding of ETHUSDTM, which is not"),
        ("symbol,time,fundingRate,markPrice\nBTCUSDTM,1,1,1\n", r"unknown columns \(markPrice\)"),
    ],
)
def test_other_funding_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        recognise(zip_of(tmp_path / "BTCUSDTM-fundingRates-2025-01-01.zip", text), NOTHING)
