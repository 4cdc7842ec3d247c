"""Importing bulk files of OKX, KuCoin and Bitget into a lake: rows, partitions, coverage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from archive_kit import NOW, epoch_ms, zip_of

from lake.domain.coverage import Basis
from lake.domain.gaps import GapReason
from lake.domain.identifiers import DataType, InstrumentId, Series
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.ingestion.imports import FileState, import_files
from lake.sources.archive.mapping import Unit
from lake.storage.gaps import find_gaps
from lake.storage.lake import Storage

MINUTE = timedelta(minutes=1)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "data", create=True) as opened:
        yield opened


def series_of(text: str, data_type: DataType, timeframe: TimeFrame | None = None) -> Series:
    return Series(data_type, InstrumentId.from_str(text), timeframe)


def held(storage: Storage, series: Series, column: str) -> list[object]:
    tables = [storage.read_partition(each.partition) for each in storage.catalog.partitions(series)]
    return [value for table in tables if table is not None for value in table[column].to_pylist()]


def test_okx_day_over_the_border_of_a_month(storage: Storage, tmp_path: Path) -> None:
    """Its 1st of June begins in May: two partitions, one claim, and a hole that is a fact."""
    start = datetime(2024, 5, 31, 16)
    lines = "".join(
        f"BTC-USDT,100,102,99,101,2,202,202,{epoch_ms(start + number * MINUTE)},1\n"
        for number in range(1_440)
        if number != 600
    )
    header = "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm\n"
    path = zip_of(tmp_path / "BTC-USDT-candlesticks-2024-06-01.zip", header + lines)
    series = series_of("BTCUSDT.OKX", DataType.OHLCV, TimeFrame.MINUTE_1)

    report = import_files(storage, [path], now=NOW)
    again = import_files(storage, [path], now=NOW)

    assert (report.exit_code, report.rows_added) == (0, 1_439)
    assert [each.rows for each in storage.catalog.partitions(series)] == [480, 959]
    [coverage] = storage.catalog.coverage(series)
    assert coverage.range == TimeRange(start, start + timedelta(days=1))
    assert (coverage.basis, coverage.source) == (Basis.ARCHIVE, "archive")
    assert [each.state for each in again.files] == [FileState.UNCHANGED]


def test_what_a_cut_day_ends_with_is_asked_for_again(storage: Storage, tmp_path: Path) -> None:
    """Its last minute may have run when it was made: held, and claimed by nobody."""
    start = datetime(2024, 5, 9, 16)
    header = "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm\n"
    for day, count in ((10, 600), (11, 1_440)):
        opened = start + timedelta(days=day - 10)
        lines = "".join(
            f"BTC-USDT,100,102,99,101,2,202,202,{epoch_ms(opened + number * MINUTE)},1\n"
            for number in range(count)
        )
        zip_of(tmp_path / "in" / f"BTC-USDT-candlesticks-2024-05-{day}.zip", header + lines)
    series = series_of("BTCUSDT.OKX", DataType.OHLCV, TimeFrame.MINUTE_1)
    last = start + 599 * MINUTE

    report = import_files(storage, [tmp_path / "in"], now=NOW)
    found = find_gaps(storage, [series])
    again = import_files(storage, [tmp_path / "in"], now=NOW)

    next_day = start + timedelta(days=1)
    assert (report.exit_code, report.rows_added, again.rows_added) == (0, 2_040, 0)
    assert [each.range for each in storage.catalog.coverage(series)] == [
        TimeRange(start, last),
        TimeRange(next_day, next_day + timedelta(days=1)),
    ]
    assert [(gap.range, gap.missing_count, gap.reason) for gap in found] == [
        (TimeRange(last + MINUTE, next_day), 840, GapReason.NOT_FETCHED)
    ]


def test_okx_funding_of_all_swaps(storage: Storage, tmp_path: Path) -> None:
    """Two days of two swaps: each series is committed for itself, and claims both days."""
    for day in (1, 2):
        start = datetime(2024, 5, day) - timedelta(hours=8)
        lines = "".join(
            f"{name}-USDT-SWAP,0.000{day},{epoch_ms(start + timedelta(hours=hour))}\n"
            for hour in (0, 8, 16)
            for name in ("BTC", "ETH")
        )
        text = f"instrument_name,funding_rate,funding_time\n{lines}"
        zip_of(tmp_path / "in" / f"allswap-fundingrates-2024-05-0{day}.zip", text)

    report = import_files(storage, [tmp_path / "in"], now=NOW)

    assert (report.exit_code, report.rows_added) == (0, 12)
    for name in ("BTC", "ETH"):
        series = series_of(f"{name}USDT-PERP.OKX", DataType.FUNDING_RATES)
        assert held(storage, series, "funding_rate") == [0.0001] * 3 + [0.0002] * 3
        assert held(storage, series, "interval_hours") == [8.0] * 6
        [coverage] = storage.catalog.coverage(series)
        assert coverage.range == TimeRange(datetime(2024, 4, 30, 16), datetime(2024, 5, 2, 16))
        assert coverage.basis is Basis.ARCHIVE


def test_kucoin_spot_beside_futures(storage: Storage, tmp_path: Path) -> None:
    """One folder, two markets; candles that were not in the file are known to be none."""
    start = datetime(2025, 1, 1)
    moments = [epoch_ms(start + number * MINUTE) for number in range(1_440) if number not in (5, 6)]
    spot = "".join(f"{ms // 1_000},100,101,102,99,2,202\n" for ms in reversed(moments))
    futures = "".join(f"{ms},100,102,99,101,2000\n" for ms in moments[:60])
    folder = tmp_path / "data"
    zip_of(
        folder / "spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-01-01.zip",
        f"time,open,close,high,low,volume,turnover\n{spot}",
    )
    zip_of(
        folder / "futures/daily/klines/BTCUSDTM/1m/BTCUSDTM-1m-2025-01-01.zip",
        f"time,open,high,low,close,volume\n{futures}",
    )

    report = import_files(storage, [folder / "spot"], now=NOW)
    sized = Unit.from_str("contracts:0.001")
    other = import_files(storage, [folder / "futures"], unit=sized, now=NOW)

    assert (report.rows_added, other.rows_added) == (1_438, 60)
    series = series_of("BTCUSDT.KUCOIN", DataType.OHLCV, TimeFrame.MINUTE_1)
    [gap] = find_gaps(storage, [series])
    assert (gap.range, gap.reason) == (
        TimeRange(start + 5 * MINUTE, start + 7 * MINUTE),
        GapReason.VENUE_HAS_NONE,
    )
    perpetual = series_of("BTCUSDT-PERP.KUCOINFUTURES", DataType.OHLCV, TimeFrame.MINUTE_1)
    assert held(storage, perpetual, "volume") == [2.0] * 60
    [coverage] = storage.catalog.coverage(perpetual)
    assert coverage.range == TimeRange(start, start + 61 * MINUTE)


def test_bitget_day_in_parts(storage: Storage, tmp_path: Path) -> None:
    """Its parts join at a second that both have; only what they hold is covered."""
    start = datetime(2024, 12, 31, 16)
    header = "trade_id,timestamp,price,side,volume(quote),size(base)\n"
    lines = [
        f"{1125384109708226660 + number},{epoch_ms(start + timedelta(hours=number // 2))},100,"
        "buy,50,0.5\n"
        for number in range(40)
    ]
    folder = tmp_path / "trades/SPBL/BTCUSDT"
    zip_of(folder / "20250101_001.zip", header + "".join(lines[:21]))
    zip_of(folder / "20250101_002.zip", header + "".join(lines[21:]))

    report = import_files(storage, [tmp_path / "trades"], now=NOW)
    again = import_files(storage, [tmp_path / "trades"], now=NOW)

    assert (report.exit_code, report.rows_added, again.rows_added) == (0, 40, 0)
    series = series_of("BTCUSDT.BITGET", DataType.TRADES)
    assert held(storage, series, "trade_id") == [1125384109708226660 + n for n in range(40)]
    coverage = storage.catalog.coverage(series)
    assert {each.basis for each in coverage} == {Basis.ROWS_ONLY}
    assert coverage[0].range.start == start
    assert coverage[-1].range.end == start + timedelta(hours=19, microseconds=1)


def test_kucoin_books_over_midnight(storage: Storage, tmp_path: Path) -> None:
    """Seconds of the day before lie in another partition; the same file adds nothing again."""
    start = datetime(2025, 1, 14)
    lines = "".join(
        f'{{"asks":[["101","1"]],"bids":[["100","2"]],"timestamp":{epoch_ms(start) + ms}}}\n'
        for ms in (200, 100, -1_000)
    )
    path = zip_of(tmp_path / "BTC-USDT-orderbooklv50-2025-01-14.zip", f"data\n{lines}")
    series = series_of("BTCUSDT.KUCOIN", DataType.ORDERBOOK)

    report = import_files(storage, [path], now=NOW)
    again = import_files(storage, [path], now=NOW)

    assert (report.exit_code, report.rows_added, again.rows_added) == (0, 3, 0)
    assert [each.rows for each in storage.catalog.partitions(series)] == [1, 2]
    assert {each.basis for each in storage.catalog.coverage(series)} == {Basis.ROWS_ONLY}
