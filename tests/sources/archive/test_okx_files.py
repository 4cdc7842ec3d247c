"""Tiny files of OKX: minutes and funding, by days and months of UTC+8."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from archive_kit import contents_of, csv_of, epoch_ms, recognised, zip_of

from lake.domain.coverage import Basis
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive import Hints, NotRecognised, recognise
from lake.sources.archive.mapping import Unit

NOTHING = Hints()
SIZED = Hints(unit=Unit.from_str("contracts:0.01"))
CANDLES = "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm\n"
FUNDING = "instrument_name,funding_rate,funding_time\n"
# The 20th of May in UTC+8.
START = datetime(2024, 5, 19, 16)
DAY = TimeRange(START, START + timedelta(days=1))
NAME = "BTC-USDT-SWAP-candlesticks-2024-05-20.zip"
SPOT = "BTC-USDT-candlesticks-2024-05-20.zip"


def candle(
    number: int,
    *,
    amounts: str = "200,2,202",
    symbol: str = "BTC-USDT-SWAP",
    close: str = "101",
    confirm: int = 1,
) -> str:
    """The candle of a minute of the day."""
    opened = epoch_ms(START + number * timedelta(minutes=1))
    return f"{symbol},100,102,99,{close},{amounts},{opened},{confirm}\n"


def candles(numbers: Iterable[int], *, symbol: str = "BTC-USDT-SWAP") -> str:
    return CANDLES + "".join(candle(number, symbol=symbol) for number in numbers)


def test_a_day_begins_at_16_hours_of_utc(tmp_path: Path) -> None:
    """A hole in it is a fact; amounts are those of the base and the quote asset."""
    text = candles(number for number in range(1_440) if number != 700)

    file = recognised(zip_of(tmp_path / NAME, text), NOTHING)
    contents = contents_of(file)
    row = contents.page.rows.to_pylist()[0]

    assert str(file.series) == "BTCUSDT-PERP.OKX ohlcv 1m"
    assert (row["ts"], row["open"], row["high"], row["low"]) == (START, 100, 102, 99)
    assert (row["close"], row["volume"], row["quote_volume"]) == (101, 2, 202)
    [claim] = contents.page.claims
    assert (claim.range, claim.basis, claim.evidence) == (DAY, Basis.ARCHIVE, "zip CRC")
    assert (contents.page.rows.num_rows, contents.remark) == (1_439, "")


def test_spot_counts_the_base_asset_first(tmp_path: Path) -> None:
    text = CANDLES + candle(0, symbol="BTC-USDT", amounts="2,201,201")

    file = recognised(zip_of(tmp_path / SPOT, text), NOTHING)
    row = contents_of(file).page.rows.to_pylist()[0]

    assert str(file.series) == "BTCUSDT.OKX ohlcv 1m"
    assert (row["volume"], row["quote_volume"]) == (2, 201)


def test_a_file_that_is_cut_short_claims_no_more_than_had_closed(tmp_path: Path) -> None:
    """Its last minute was running when it was made, whatever the present is when it is read."""
    path = zip_of(tmp_path / NAME, candles(range(600)))

    contents = contents_of(recognised(path, NOTHING))

    [claim] = contents.page.claims
    assert claim.range == TimeRange(START, START + timedelta(minutes=599))
    assert contents.page.rows.num_rows == 600
    assert "the 840 candles missing after it are not taken as fact" in contents.remark


def test_a_month_is_one_of_utc_8_too(tmp_path: Path) -> None:
    """Months that are long over say `confirm` 0, and some rows twice; both in any order."""
    first, last = candle(0, confirm=0), candle(1, confirm=0)
    path = csv_of(
        tmp_path / "BTC-USDT-SWAP-candlesticks-2024-05.csv", CANDLES + last + first + last
    )

    file = recognised(path, NOTHING)
    rows = contents_of(file).page.rows

    assert file.promise == TimeRange(datetime(2024, 4, 30, 16), datetime(2024, 5, 31, 16))
    assert rows["ts"].to_pylist() == [START, START + timedelta(minutes=1)]


def test_a_file_whose_days_are_cut_elsewhere_promises_nothing(tmp_path: Path) -> None:
    """Its first hours would be claimed to be empty."""
    path = zip_of(tmp_path / NAME, candles(range(480, 1_920)))

    contents = contents_of(recognised(path, NOTHING))

    assert [claim.basis for claim in contents.page.claims] == [Basis.ROWS_ONLY]
    assert contents.page.claims[0].range.start == START + timedelta(hours=8)
    assert len(contents.page.rejected) == 480
    assert "it promises nothing" in contents.remark


@pytest.mark.parametrize("amounts", ["200,0,0", "200,,"])
def test_contracts_whose_size_is_not_told_have_to_be_explained(
    tmp_path: Path, amounts: str
) -> None:
    """Old months fill in the number of contracts alone: 0 is no volume there."""
    text = CANDLES + candle(0, amounts=amounts) + candle(1, amounts="0,0,0")
    path = zip_of(tmp_path / NAME, text)

    with pytest.raises(InvalidRequest, match=r"volume in BTC, is not filled in\. Say --unit c"):
        recognise(path, NOTHING)
    rows = contents_of(recognised(path, SIZED)).page.rows

    assert rows["volume"].to_pylist() == [2.0, 0.0]
    assert rows["quote_volume"][0].as_py() is None


def test_a_volume_that_is_left_out_further_below_is_not_taken_for_zero(tmp_path: Path) -> None:
    path = zip_of(tmp_path / NAME, candles([0, 1]) + candle(2, amounts="200,0,0"))

    page = contents_of(recognised(path, NOTHING)).page

    assert page.rows.num_rows == 2
    assert [row.reason for row in page.rejected] == ["volume is not a number from 0"]


def test_an_inverse_swap_is_in_its_base_asset(tmp_path: Path) -> None:
    name = "BTC-USD-SWAP-candlesticks-2024-05-20.zip"
    told = CANDLES + candle(0, symbol="BTC-USD-SWAP", amounts="2,0.002,200")
    untold = CANDLES + candle(0, symbol="BTC-USD-SWAP", amounts="2,0,0")

    file = recognised(zip_of(tmp_path / name, told), NOTHING)

    assert str(file.series) == "BTCUSD-PERP-BTC.OKX ohlcv 1m"
    assert contents_of(file).page.rows["volume"].to_pylist() == [0.002]
    with pytest.raises(InvalidRequest, match="Import its trades instead"):
        recognise(zip_of(tmp_path / name, untold), NOTHING)


def test_rows_that_are_none_go_to_quarantine(tmp_path: Path) -> None:
    bad = candle(2, close="nan")
    path = zip_of(tmp_path / NAME, candles([0, 1]) + bad)

    page = contents_of(recognised(path, NOTHING)).page

    assert page.rows.num_rows == 2
    assert [row.raw for row in page.rejected] == [bad.strip()]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (NAME, CANDLES.replace("confirm", "count") + candle(0), r"unknown columns \(count\)"),
        (NAME, "open_time,open\n1,2\n", r"has other columns \(open_time,open\)"),
        (SPOT, candles([0]), "is named BTC-USDT, and holds BTC-USDT-SWAP"),
        (NAME.replace("SWAP", "240628"), candles([0], symbol="BTC-USDT-240628"), "no perpetual"),
        (NAME.replace("05-20", "05-32"), candles([0]), "a day that does not exist"),
        ("allspot-candlesticks-2024-05-20.zip", candles([0]), "many instruments at once"),
        ("BTC-USD-futureschain-trades-2024-05-20.zip", candles([0]), "many instruments at once"),
        ("allmargin-borrowrates-2024-05-20.zip", FUNDING, "borrowing, which the lake does not"),
    ],
)
def test_other_files_are_refused_by_name(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises((SourceError, InvalidRequest), match=message):
        recognise(zip_of(tmp_path / name, text), NOTHING)


def test_a_hint_that_contradicts_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / NAME, candles([0]))

    with pytest.raises(InvalidRequest, match="holds 1m candles, but --timeframe says 1h"):
        recognise(path, Hints(timeframe=TimeFrame.HOUR_1))
    with pytest.raises(InvalidRequest, match="--instrument says 'ETH/USDT'"):
        recognise(path, Hints(instrument="ETH/USDT"))
    with pytest.raises(NotRecognised):
        recognise(zip_of(tmp_path / "btc-candlesticks-2024-05-20.zip", "a,b\n"), NOTHING)


# Funding


def settled(symbol: str, rate: str, *hours: int) -> str:
    moments = (epoch_ms(START + timedelta(hours=hour)) for hour in hours)
    return "".join(f"{symbol},{rate},{moment}\n" for moment in moments)


def test_a_month_of_one_swap(tmp_path: Path) -> None:
    """It has settlements until the next one is due in another month."""
    start = datetime(2024, 4, 30, 16)
    hours = ((start - START) // timedelta(hours=1) + 8 * number for number in range(93))
    text = FUNDING + settled("BTC-USDT-SWAP", "0.0001", *hours)
    path = zip_of(tmp_path / "BTC-USDT-SWAP-fundingrates-2024-05.zip", text)

    file = recognised(path, NOTHING)
    contents = contents_of(file)
    row = contents.page.rows.to_pylist()[0]

    assert str(file.series) == "BTCUSDT-PERP.OKX funding_rates"
    assert (row["ts"], row["funding_rate"], row["interval_hours"]) == (start, 0.0001, 8)
    [claim] = contents.page.claims
    assert claim.range == TimeRange(start, datetime(2024, 5, 31, 16))
    assert (claim.basis, contents.remark) == (Basis.ARCHIVE, "")


@pytest.mark.parametrize("hours", [(0, 8), (8,)])
def test_a_month_that_ends_early_claims_no_more_than_it_has(
    tmp_path: Path, hours: tuple[int, ...]
) -> None:
    """It may have been made in the middle of the month."""
    text = FUNDING + settled("BTC-USDT-SWAP", "0.0001", *hours)
    path = zip_of(tmp_path / "BTC-USDT-SWAP-fundingrates-2024-05.zip", text)

    contents = contents_of(recognised(path, NOTHING))

    [claim] = contents.page.claims
    last = START + timedelta(hours=8, microseconds=1)
    assert claim.range == TimeRange(datetime(2024, 4, 30, 16), last)
    assert "that none follows until 2024-05-31" in contents.remark


def test_a_day_of_all_swaps_is_many_series(tmp_path: Path) -> None:
    """What is no perpetual that is known stays out, and is told once."""
    text = (
        FUNDING
        + settled("ETH-USDT-SWAP", "-0.0002", 0, 8, 16)
        + settled("BTC-USD_UM-SWAP", "0.1", 0)
        + settled("BTC-USD-SWAP", "0.0003", 0, 8, 16)
    )
    path = zip_of(tmp_path / "allswap-fundingrates-2024-05-20.zip", text)

    inverse, linear = recognise(path, NOTHING)
    [asked] = recognise(path, Hints(instrument="ETH/USDT:USDT"))

    assert [each.part for each in (inverse, linear)] == ["BTC-USD-SWAP", "ETH-USDT-SWAP"]
    assert str(linear.series) == "ETHUSDT-PERP.OKX funding_rates"
    assert contents_of(inverse).page.rows["funding_rate"].to_pylist() == [0.0003] * 3
    assert contents_of(linear).page.rows["funding_rate"].to_pylist() == [-0.0002] * 3
    assert contents_of(linear).page.claims[0].range == DAY
    assert contents_of(inverse).remark == "BTC-USD_UM-SWAP left out: no perpetual"
    assert (contents_of(linear).remark, asked.part) == ("", "ETH-USDT-SWAP")
    with pytest.raises(InvalidRequest, match="holds no funding of XRP/USDT:USDT"):
        recognise(path, Hints(instrument="XRP/USDT:USDT"))


def test_bad_lines_are_told_with_the_swap_they_are_of(tmp_path: Path) -> None:
    """Four of XRP do not refuse three of BTC; what names nobody is told once."""
    whole = "".join(
        settled(name, "0.0001", 0, 8, 16) for name in ("BTC-USDT-SWAP", "ETH-USDT-SWAP")
    )
    broken = "XRP-USDT-SWAP,0.1\n" * 4 + "ETH-USDT-SWAP,0.1\n" + "XRP-US\n"
    path = zip_of(tmp_path / "allswap-fundingrates-2024-05-20.zip", FUNDING + whole + broken)

    bitcoin, ether = map(contents_of, recognise(path, NOTHING))

    assert [each.page.rows.num_rows for each in (bitcoin, ether)] == [3, 3]
    assert [each.raw for each in bitcoin.page.rejected] == ["XRP-US"]
    assert [each.raw for each in ether.page.rejected] == ["ETH-USDT-SWAP,0.1"]
    assert (bitcoin.remark, ether.remark) == (
        "XRP-USDT-SWAP left out: no line of it can be read",
        "",
    )


def test_a_swap_is_refused_for_its_own_bad_lines_alone(tmp_path: Path) -> None:
    text = (
        FUNDING
        + settled("BTC-USDT-SWAP", "0.0001", 0, 8, 16)
        + settled("XRP-USDT-SWAP", "0.0001", 0)
        + "XRP-USDT-SWAP,0.1,1,2\n" * 2
    )
    path = zip_of(tmp_path / "allswap-fundingrates-2024-05-20.zip", text)

    bitcoin, ripple = recognise(path, NOTHING)

    assert contents_of(bitcoin).page.rejected == ()
    with pytest.raises(SourceError, match="has 2 bad rows of 3"):
        contents_of(ripple)


def test_other_columns_of_funding_are_refused_by_name(tmp_path: Path) -> None:
    text = "instrument_name,funding_rate,real_rate,funding_time\nBTC-USDT-SWAP,0.1,0.1,1\n"

    with pytest.raises(SourceError, match=r"unknown columns \(real_rate\)"):
        recognise(zip_of(tmp_path / "allswap-fundingrates-2024-05-20.zip", text), NOTHING)
