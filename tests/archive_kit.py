"""Archives as Binance publishes them, made in tests: candles, CSV, zips good and bad."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from lake.domain.schemas import ROW_SPECS
from lake.sources.archive import ArchiveFile, Hints, Lot, Streamed, recognise

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_real_data = pytest.mark.skipif(
    not REAL_DATA.is_dir(), reason="the recorded data (../shared/data) is not at hand"
)

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore\n"
)
MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 11, 22)


def epoch_ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1)


def line(
    opened: datetime,
    *,
    step: timedelta = MINUTE,
    price: float = 100.0,
    volume: float = 2.0,
    trades: int = 7,
    unit: int = 1,
    closes_early_ms: int = 0,
) -> str:
    """One candle: opens at *price*, closes one above. *unit* 1000 writes microseconds."""
    start = epoch_ms(opened) * unit
    end = epoch_ms(opened + step) * unit - 1 - closes_early_ms * unit
    return (
        f"{start},{price:.8f},{price + 2:.8f},{price - 1:.8f},{price + 1:.8f},{volume:.8f},{end},"
        f"{volume * price:.8f},{trades},{volume / 2:.8f},{volume * price / 2:.8f},0\n"
    )


def lines(
    start: datetime,
    count: int,
    *,
    step: timedelta = MINUTE,
    without: Iterable[int] = (),
    unit: int = 1,
    price: float = 100.0,
) -> str:
    """*count* candles from *start* on; prices rise by a hundredth a candle."""
    absent = set(without)
    return "".join(
        line(start + number * step, step=step, unit=unit, price=price + number / 100)
        for number in range(count)
        if number not in absent
    )


def zip_of(path: Path, text: str | bytes, *, member: str | None = None) -> Path:
    """A zip at *path* with one CSV, called as the zip is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member or path.with_suffix(".csv").name, text)
    return path


def csv_of(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def gzip_of(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))
    return path


def checksum_of(path: Path, digest: str | None = None, *, kind: str = "sha256") -> Path:
    """The ``.CHECKSUM`` file beside *path*, right or with another *digest*."""
    right = hashlib.new(kind, path.read_bytes()).hexdigest()
    beside = path.with_name(path.name + ".CHECKSUM")
    beside.write_text(f"{digest or right}  {path.name}\n", encoding="utf-8")
    return beside


@dataclass(frozen=True, slots=True)
class Contents:
    """All that one series of a file gives, its lots joined."""

    page: Lot
    remark: str
    streamed: Streamed


def recognised(path: Path, hints: Hints) -> ArchiveFile:
    """The only series in the file at *path*."""
    [file] = recognise(path, hints)
    return file


def contents_of(file: ArchiveFile, *, now: datetime = NOW) -> Contents:
    """Everything that *file* gives, read to its end."""
    with tempfile.TemporaryDirectory() as scratch:
        streamed = file.stream(now=now, scratch=Path(scratch))
        lots = list(streamed.lots)
        tables = [
            table
            for lot in lots
            for table in ([lot.rows] if isinstance(lot.rows, pa.Table) else list(lot.rows))
        ]
        empty = ROW_SPECS[file.series.data_type].schema.empty_table()
        page = Lot(
            streamed.window,
            pa.concat_tables([empty, *tables]).combine_chunks(),
            tuple(claim for lot in lots for claim in lot.claims),
            tuple(row for lot in lots for row in lot.rejected),
            tuple(note for lot in lots for note in lot.notes),
        )
    return Contents(page, streamed.remark, streamed)
