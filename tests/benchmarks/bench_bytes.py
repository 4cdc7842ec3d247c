"""Benchmark: bytes a row in the lake's files against the vendor's own CSV of the same rows.

Run: ``python -m tests.benchmarks.bench_bytes`` (half a minute; the recorded data must lie beside
this checkout). The CSV is the text as the vendor publishes it, uncompressed. The lake's side is
whole files: all row groups, footers, checksums.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, InstrumentId, Series, Venue
from lake.domain.partitions import split
from lake.domain.ranges import TimeRange
from lake.domain.rows import SourceTag
from lake.domain.timeframe import TimeFrame
from lake.simulator.market import generate
from lake.storage.lake import PartitionCommit, Storage
from tests.real import readers
from tests.real.readers import RECORDED, Recorded

TAG = SourceTag("archive", 60)
MINUTES = Series(DataType.OHLCV, InstrumentId("BTCUSDT", Venue("BINANCE")), TimeFrame.MINUTE_1)
START = datetime(2024, 1, 1)


@dataclass(frozen=True)
class Size:
    """What some rows take."""

    name: str
    rows: int
    files: int
    stored: int
    csv: int

    @property
    def smaller(self) -> float:
        """By which share the lake's files are smaller than the CSV."""
        return 1 - self.stored / self.csv


def stored(name: str, data_type: DataType, parts: Sequence[Recorded], *, claim: bool) -> Size:
    """What all of *parts* take together as one series, each file written once.

    Args:
        name: What to call it.
        data_type: What the rows are.
        parts: Of one instrument.
        claim: Whether the vendor promises their days or months to be whole.
    """
    rows = pa.concat_tables([part.rows for part in parts])
    frame = TimeFrame.MINUTE_1 if data_type is DataType.OHLCV else None
    series = Series(data_type, MINUTES.instrument_id, frame)
    bounds = pc.min_max(rows["ts"]).as_py()
    hull = TimeRange(bounds["min"], bounds["max"] + timedelta(microseconds=1))
    with (
        tempfile.TemporaryDirectory() as folder,
        Storage.open(Path(folder) / "lake", create=True) as storage,
    ):
        storage.catalog.ensure_series(series, "venue")
        job = storage.jobs.create(series, hull)
        lease = storage.jobs.claim(job.job_id, "bench", ttl_s=600)
        for partition, _ in split(series, hull):
            window = partition.range
            inside = pc.and_(
                pc.greater_equal(rows["ts"], pa.scalar(window.start, pa.timestamp("us"))),
                pc.less(rows["ts"], pa.scalar(window.end, pa.timestamp("us"))),
            )
            part = rows.filter(inside)
            if part.num_rows:
                claims = (Claim(window, Basis.ARCHIVE),) if claim else ()
                storage.commit(
                    PartitionCommit(partition=partition, rows=part, tag=TAG, claims=claims), lease
                )
        held = storage.catalog.partitions(series)
    return Size(
        name,
        sum(each.rows for each in held),
        len(held),
        sum(each.bytes for each in held),
        sum(len(part.text) for part in parts),
    )


def binance_minutes() -> Iterator[Size]:
    """Binance's own archives of minutes, as the lake keeps them: a file a month."""
    spot = RECORDED / "binance_vision_spot_daily_klines"
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        months: dict[str, list[Recorded]] = {}
        for path in sorted(spot.glob(f"{symbol}-1m-*")):
            months.setdefault(path.stem[-10:-3], []).append(readers.binance_candles(path))
        for month, days in months.items():
            name = f"Binance spot {symbol} 1m {month}, {len(days)} days"
            yield stored(name, DataType.OHLCV, days, claim=False)
    for path in sorted((RECORDED / "binance_vision_um_monthly_klines").iterdir()):
        symbol, month = path.name[:-7].split("-1m-")
        name = f"Binance USD-M {symbol} 1m {month}, the month"
        yield stored(name, DataType.OHLCV, [readers.binance_candles(path)], claim=True)


def single_days() -> Iterator[Size]:
    """The same days each in a lake of its own: 1,440 rows bear a whole footer."""
    for path in sorted((RECORDED / "binance_vision_spot_daily_klines").glob("*-1m-*")):
        day = readers.binance_candles(path)
        yield stored(f"{day.name} alone", DataType.OHLCV, [day], claim=False)


def lean_minutes() -> Iterator[Size]:
    """QuantConnect's own text: time of day, five short numbers, no zeros written out."""
    for folder in sorted({path.parent for path in RECORDED.glob("lean_*/minute_*/*_trade.zip")}):
        days = [readers.lean_candles(path) for path in sorted(folder.glob("*_trade.zip"))]
        name = f"Lean {folder.parent.name[5:]} {folder.name[7:]} 1m, {len(days)} days"
        yield stored(name, DataType.OHLCV, days, claim=False)


def real_trades() -> Iterator[Size]:
    """Trades in the spelling of Binance's ``trades`` and ``aggTrades`` archives."""
    for market in ("spot", "usdm"):
        found = readers.binance_stream_recording(
            RECORDED / f"hftbacktest_ws/{market}/btcusdt_20240808.gz"
        )
        yield stored(f"Binance {found.name}", DataType.TRADES, [found], claim=True)
    found = readers.freqtrade_trades()
    name = f"Binance {found.name}, without the ids of fills"
    yield stored(name, DataType.TRADES, [found], claim=True)


def real_books() -> Iterator[Size]:
    """Rebuilt from recorded changes, against the CSV in which tardis.dev publishes snapshots."""
    for market in ("spot", "usdm"):
        books = readers.rebuilt_books(market, every_ms=100, levels=20)
        yield stored(f"Binance {books.name}", DataType.ORDERBOOK, [books], claim=False)


def real_funding() -> Iterator[Size]:
    """Four years, against the CSV of the collector who published them."""
    for venue in ("binance", "bybit", "gate"):
        found = readers.funding_history(venue)
        yield stored(found.name, DataType.FUNDING_RATES, [found], claim=False)


def synthetic() -> Iterator[Size]:
    """What the exchange in the box makes of three days, against CSV in the vendors' columns."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Storage.open(Path(folder) / "lake", create=True, origin="synthetic") as storage,
    ):
        generate(
            storage,
            seed=1,
            start=START,
            end=START + timedelta(days=3),
            instruments=["BTC/USDT:USDT"],
            timeframes=[TimeFrame.MINUTE_1],
            store_trades=True,
            books=timedelta(seconds=10),
            rate=5,
        )
        for info in storage.catalog.series():
            if info.series.data_type is DataType.OHLCV:
                continue
            held = storage.catalog.partitions(info.series)
            text = sum(
                len(line)
                for each in held
                for table in storage.read_tables(each.partition)
                for line in _lines(info.series.data_type, table)
            )
            yield Size(
                f"synthetic {info.series.data_type} of {info.series.instrument_id.symbol}",
                sum(each.rows for each in held),
                len(held),
                sum(each.bytes for each in held),
                text,
            )


def _lines(data_type: DataType, table: pa.Table) -> Iterable[str]:
    """*table* as Binance would write it; books as tardis.dev does."""
    for row in table.to_pylist():
        ms = round((row["ts"] - datetime(1970, 1, 1)) / timedelta(milliseconds=1))
        if data_type is DataType.TRADES:
            cells = [row["trade_id"], row["price"], row["quantity"], row["first_trade_id"]]
            cells += [row["last_trade_id"], ms, str(row["side"] == "sell").lower()]
        else:
            cells = ["binance-futures", "BTCUSDT", ms * 1000, ms * 1000]
            sides = [(row[f"{side}_prices"], row[f"{side}_quantities"]) for side in ("ask", "bid")]
            for place in range(len(sides[0][0])):
                cells += [column[place] for side in sides for column in side]
        yield ",".join(map(str, cells)) + "\n"


GROUPS = {
    "1m candles of Binance": binance_minutes,
    "the same, single days": single_days,
    "1m candles of Lean": lean_minutes,
    "trades": real_trades,
    "order books": real_books,
    "funding": real_funding,
    "synthetic, for scale": synthetic,
}


def main() -> None:
    print(f"{'':58} {'rows':>9} {'files':>5} {'B/row':>7} {'CSV B/row':>9} {'smaller':>8}")
    for title, sizes in GROUPS.items():
        print(title)
        for each in sizes():
            print(
                f"  {each.name:56} {each.rows:9,} {each.files:5} {each.stored / each.rows:7.2f} "
                f"{each.csv / each.rows:9.1f} {each.smaller:8.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
