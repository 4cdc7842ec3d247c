"""Real recorded archives: imported, served, backfilled through ccxt, equal in every column."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from lake.domain.gaps import GapReason
from lake.domain.identifiers import Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.ingestion import Request
from lake.ingestion.imports import import_files
from lake.storage.gaps import find_gaps
from lake.storage.lake import Storage
from tests.box import BoxThread
from tests.ingestion import markets
from tests.ingestion.markets import series

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"
USDM = Venue("BINANCEUSDM")

pytestmark = pytest.mark.skipif(
    not RECORDED.is_dir(), reason="the recorded market data is not beside this checkout"
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with every Binance candle archive there is."""
    root = tmp_path_factory.mktemp("recorded") / "lake"
    with Storage.open(root, create=True) as storage:
        for venue, folder in (
            ("BINANCE", "binance_vision_spot_daily_klines"),
            ("BINANCE", "binance_vision_spot_monthly_klines"),
            ("BINANCEUSDM", "binance_vision_um_monthly_klines"),
        ):
            import_files(storage, [RECORDED / folder], venue=Venue(venue))
    return root


def held(root: Path) -> list[Series]:
    with Storage.open(root, read_only=True) as storage:
        return [info.series for info in storage.catalog.series()]


def test_every_file_is_there_under_its_name(recorded: Path) -> None:
    """Instruments are named without any network: spot BTCUSDT, USD-M LTCUSDT-PERP."""
    assert sorted(str(each) for each in held(recorded)) == [
        "AVAXUSDT-PERP.BINANCEUSDM ohlcv 1m",
        "BTCUSDT.BINANCE ohlcv 15m",
        "BTCUSDT.BINANCE ohlcv 1d",
        "BTCUSDT.BINANCE ohlcv 1h",
        "BTCUSDT.BINANCE ohlcv 1m",
        "ETHUSDT.BINANCE ohlcv 1h",
        "ETHUSDT.BINANCE ohlcv 1m",
        "LTCUSDT-PERP.BINANCEUSDM ohlcv 1m",
        "SOLUSDT.BINANCE ohlcv 15m",
        "SOLUSDT.BINANCE ohlcv 1m",
    ]


def test_the_stop_of_2023_03_24_is_one_gap_and_a_note(recorded: Path) -> None:
    """80 minutes without candles, and a last candle that closed early."""
    bitcoin = series("BTCUSDT", TimeFrame.MINUTE_1)
    with Storage.open(recorded, read_only=True) as storage:
        [gap] = find_gaps(storage, [bitcoin])
        notes = storage.catalog.notes(bitcoin)

    assert gap.range == TimeRange(datetime(2023, 3, 24, 12, 40), datetime(2023, 3, 24, 14))
    assert (gap.missing_count, gap.reason) == (80, GapReason.VENUE_HAS_NONE)
    assert [(note.ts, note.kind) for note in notes] == [
        (datetime(2023, 3, 24, 12, 39), "early_close")
    ]
    assert "12:39:41.646" in notes[0].text


def test_milliseconds_and_microseconds_join_without_a_seam(recorded: Path) -> None:
    """Binance's spot archives changed their unit at the turn of 2025; nothing in them says so."""
    hourly = series("BTCUSDT", TimeFrame.HOUR_1)
    winter = TimeRange(datetime(2024, 11, 1), datetime(2025, 3, 1))
    with Storage.open(recorded, read_only=True) as storage:
        rows = markets.rows_of(storage, hourly, winter)
        gaps = [gap for gap in find_gaps(storage, [hourly]) if gap.range.overlaps(winter)]

    assert rows.num_rows == 720 + 744 + 744 + 672
    assert gaps == []


def test_what_is_served_and_fetched_again_is_equal_row_for_row(
    recorded: Path, tmp_path: Path
) -> None:
    """Archive, box, the real ccxt client, another lake: the same candles in every column."""
    compared = 0
    with (
        BoxThread(recorded, clock_start="2026-03-05", clock_rate=0, limits=False) as box,
        Storage.open(tmp_path / "copy", create=True) as copy,
    ):
        for each in held(recorded):
            assert each.timeframe is not None
            with Storage.open(recorded, read_only=True) as truth:
                spans = [covered.range for covered in truth.catalog.coverage(each)]
            for span in spans:
                wanted = Request(
                    each.venue,
                    (each.instrument_id.symbol,),
                    (each.timeframe,),
                    span.start,
                    span.end,
                )
                report = asyncio.run(markets.run(copy, box.url, wanted))
                assert not report.failed, report.failed
                compared += markets.assert_equal(recorded, copy, each, span)
        bitcoin = series("BTCUSDT", TimeFrame.MINUTE_1)
        early = [note for note in copy.catalog.notes(bitcoin) if note.kind == "early_close"]
        outage = TimeRange(datetime(2023, 3, 22), datetime(2023, 3, 27))
        [gap] = [gap for gap in find_gaps(copy, [bitcoin]) if gap.range.overlaps(outage)]

    assert compared > 100_000
    assert [note.ts for note in early] == [datetime(2023, 3, 24, 12, 39)]
    assert (gap.missing_count, gap.range.start) == (80, datetime(2023, 3, 24, 12, 40))
