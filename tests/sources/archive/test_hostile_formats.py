"""Damaged files of every format that is read by a mapping end in our own errors."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from archive_kit import contents_of

from lake.domain.identifiers import DataType, Venue
from lake.errors import LakeError
from lake.sources.archive import Hints, recognise
from lake.sources.archive.mapping import Mapping

_BITS = [b"\xff\xfe", b"\x80", b"\x00", b"nan", b"1e999", b"9" * 25, b",", b"\n", b'"', b"\r", b"["]
BINANCE = Hints(Venue("BINANCE"))
ROWS = range(60)
NAMES = (
    "my.csv",
    "XBTUSD.csv",
    "XBTUSD_1.csv",
    "BTC_USDT-trades.json",
    "BTC_USDT-trades.json.gz",
    "BTC_USDT-1m.feather",
    "BTC_USDT-1m.parquet",
    "20240301_trade.zip",
    "BTC-USDT_gate_x_funding_history.csv",
    "BTCUSDT2024-03-01.csv.gz",
)


def text(line: str, header: str = "") -> bytes:
    """Sixty lines, a minute or an hour apart."""
    lines = "".join(
        line.format(
            s=1709294400 + 60 * n,
            ms=1709294400000 + 60_000 * n,
            n=n,
            of_day=60_000 * n,
            day=1 + n // 24,
            hour=n % 24,
        )
        + "\n"
        for n in ROWS
    )
    return (header + lines).encode()


def zipped(data: bytes, member: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, data)
    return held.getvalue()


def candles() -> pa.Table:
    date = pa.array([1709294400000 + 60_000 * n for n in ROWS], pa.timestamp("ms", "UTC"))
    names = ("open", "high", "low", "close", "volume")
    return pa.table({"date": date, **{name: [1.0 + n for n in ROWS] for name in names}})


def written(write: Callable[[pa.Table, str], None], path: Path) -> bytes:
    write(candles(), str(path))
    return path.read_bytes()


def files(folder: Path) -> dict[str, tuple[bytes, Hints]]:
    """A good file of each format by its name, and what the user says of it."""
    bybit = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,"
    mapped = Mapping(columns={"ts": "time", "price": "px", "quantity": "size", "side": "side"})
    said = Hints(Venue("KRAKEN"), "BTC/USD", DataType.TRADES, mapping=mapped)
    trades = [[1709294400000 + 60_000 * n, str(n), None, "buy", 1.5, 2.5, 3.75] for n in ROWS]
    own = folder / "own"
    return {
        "my.csv": (text("{s},100.5,1,buy", "time,px,size,side\n"), said),
        "XBTUSD.csv": (text("{s}.5,100.5,1"), Hints()),
        "XBTUSD_1.csv": (text("{s},1,2,1,1.5,3,4"), Hints()),
        "BTC_USDT-trades.json": (json.dumps(trades).encode(), BINANCE),
        "BTC_USDT-trades.json.gz": (gzip.compress(json.dumps(trades).encode()), BINANCE),
        "BTC_USDT-1m.feather": (written(pyarrow.feather.write_feather, own), BINANCE),
        "BTC_USDT-1m.parquet": (written(pq.write_table, own), BINANCE),
        "20240301_trade.zip": (
            zipped(text("{of_day},1,2,1,1.5,3"), "20240301_btcusdt_minute_trade.csv"),
            BINANCE,
        ),
        "BTC-USDT_gate_x_funding_history.csv": (
            text("BTC-USDT,2024-03-{day:02} {hour:02}:00:00,0.0001", "Symbol,Date,Funding Rate\n"),
            Hints(),
        ),
        "BTCUSDT2024-03-01.csv.gz": (
            gzip.compress(
                text("{s}.25,BTCUSDT,Buy,1,2,T,a-{n},1,1,1", f"{bybit}foreignNotional\n")
            ),
            Hints(),
        ),
    }


def read(path: Path, data: bytes, hints: Hints) -> int:
    path.write_bytes(data)
    [file] = recognise(path, hints)
    return contents_of(file).page.rows.num_rows


def damaged(path: Path, data: bytes, hints: Hints) -> str | None:
    """Why the file is refused; None where it is read."""
    try:
        assert read(path, data, hints) <= 2 * len(ROWS)
    except LakeError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", NAMES)
def test_random_damage_ends_in_our_own_errors(tmp_path: Path, name: str) -> None:
    """Sixty files a format, each with a few bytes of every unpleasant kind put in."""
    good, hints = files(tmp_path)[name]
    rng = random.Random(name)
    assert read(tmp_path / name, good, hints) == len(ROWS)
    for _ in range(60):
        data = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice([0, 1, 3, 14])] = rng.choice(_BITS)
        why = damaged(tmp_path / name, bytes(data), hints)
        assert why is None or name in why or "--" in why


@pytest.mark.parametrize("name", NAMES)
def test_every_cut_is_refused_or_whole_lines(tmp_path: Path, name: str) -> None:
    """A plain CSV that ends with a line may be any length; every other cut is noticed."""
    good, hints = files(tmp_path)[name]
    is_plain = name.endswith(".csv")
    for length in range(0, len(good) - 1, max(1, len(good) // 40)):
        try:
            rows = read(tmp_path / name, good[:length], hints)
        except LakeError:
            continue
        assert is_plain
        assert rows <= good[:length].count(b"\n") + 1
