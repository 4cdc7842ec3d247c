"""Binance's fundingRate files: settlements, their intervals, and what a month may claim."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from archive_kit import contents_of, recognised, zip_of

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, Venue
from lake.domain.ranges import TimeRange
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive import Hints

HEADER = "calc_time,funding_interval_hours,last_funding_rate\n"
JANUARY = TimeRange(datetime(2024, 1, 1), datetime(2024, 2, 1))
FIRST_MS = 1_704_067_200_000
NAME = "BTCUSDT-fundingRate-2024-01"


def month(folder: Path, text: str, name: str = NAME) -> Path:
    return zip_of(folder / f"{name}.zip", text)


def settlement(number: int, *, rate: str = "0.00010000", late_ms: int = 0, hours: int = 8) -> str:
    return f"{FIRST_MS + number * 8 * 3_600_000 + late_ms},{hours},{rate}\n"


def test_a_settlement_has_its_schedule_and_its_own_time(tmp_path: Path) -> None:
    path = month(tmp_path, HEADER + settlement(1, late_ms=3, rate="-0.00012345", hours=4))

    file = recognised(path, Hints())
    contents = contents_of(file)

    assert file.series.data_type is DataType.FUNDING_RATES
    assert str(file.instrument.id) == "BTCUSDT-PERP.BINANCEUSDM"
    assert contents.page.rows.to_pylist() == [
        {
            "ts": datetime(2024, 1, 1, 8),
            "settled_at": datetime(2024, 1, 1, 8, 0, 0, 3_000),
            "funding_rate": -0.00012345,
            "interval_hours": 4.0,
            "predicted_rate": None,
            "next_funding_time": None,
            "mark_price": None,
            "index_price": None,
        }
    ]
    assert contents.page.claims == (Claim(JANUARY, Basis.ARCHIVE, "zip CRC"),)


def test_coinm_has_funding_too(tmp_path: Path) -> None:
    path = month(tmp_path, HEADER + settlement(0), "BTCUSD_PERP-fundingRate-2024-01")

    assert str(recognised(path, Hints()).instrument.id) == "BTCUSD-PERP-BTC.BINANCECOINM"


def test_spot_has_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be of BINANCE"):
        recognised(month(tmp_path, HEADER + settlement(0)), Hints(venue=Venue("BINANCE")))


def test_bad_rows_are_kept_and_repeats_taken_once(tmp_path: Path) -> None:
    bad = [settlement(2, rate="x"), settlement(3, hours=0), settlement(-3), "1,2\n"]
    good = [settlement(number) for number in (0, 1, 4, 5, 6, 6)]

    contents = contents_of(recognised(month(tmp_path, HEADER + "".join(good + bad)), Hints()))

    assert contents.page.rows["ts"].to_pylist() == [
        datetime(2024, 1, 1, 0),
        datetime(2024, 1, 1, 8),
        datetime(2024, 1, 2, 8),
        datetime(2024, 1, 2, 16),
        datetime(2024, 1, 3, 0),
    ]
    assert {each.raw + "\n": each.reason for each in contents.page.rejected} == {
        bad[0]: "funding_rate is not a fraction",
        bad[1]: "the interval is not a number of hours",
        bad[2]: "outside the time that the file's name says",
        bad[3]: "has 2 fields instead of 3",
    }


def test_a_month_without_settlements_claims_nothing(tmp_path: Path) -> None:
    contents = contents_of(recognised(month(tmp_path, HEADER), Hints()))

    assert (contents.streamed.rows, contents.page.claims) == (0, ())
    assert "holds no settlements" in contents.remark


def test_a_zone_does_not_apply(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="--timezone does not apply"):
        recognised(month(tmp_path, HEADER + settlement(0)), Hints(timezone="Asia/Tokyo"))
