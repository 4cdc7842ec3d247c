"""Benchmark: `lake import` of a day of aggTrades, from zip to committed partition.

Run it with::

    python -m tests.benchmarks.bench_archive_trades [--trades 5000000] [--rounds 3] [--month]

It makes the archive and its .CHECKSUM first (not measured). Trades per second are per core:
trades over CPU seconds of the process, and over wall seconds beside it. In the same run the bare
work is measured, each in a process of its own: inflate, parse, and write Parquet with the lake's
settings, no check, no CRC of ours, no catalog. The goal of issue 5 is 900,000 trades/s per core; it
measured 1,190,000 for the bare work.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lake.domain.identifiers import Venue
from lake.domain.schemas import TRADES
from lake.ingestion.imports import import_files
from lake.storage.lake import Storage
from lake.storage.settings import writer_options
from lake.storage.writing import DEFAULT_SIZES
from tests.benchmarks.side_by_side import compare, measured

NAME = "BTCUSDT-aggTrades-2024-03"
START_MS = 1_709_251_200_000
DAY_MS = 86_400_000
_COLUMNS = ("id", "price", "quantity", "first", "last", "time", "maker", "best")


def write_archive(folder: Path, count: int, days: int) -> Path:
    """A file of *count* aggregates as Binance publishes it for spot, with its checksum."""
    name = NAME if days > 1 else f"{NAME}-01"
    path = folder / f"{name}.zip"
    draw = np.random.default_rng(7)
    part, tick, first = 500_000, 4_200_000, 5_000_000_000
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(f"{name}.csv", "w", force_zip64=True) as out,
    ):
        for start in range(0, count, part):
            rows = min(part, count - start)
            # A trade's neighbours share its millisecond and its price more often than not.
            low, high = (days * DAY_MS * each // count for each in (start, start + rows))
            times = START_MS + np.sort(draw.integers(low, high, rows))
            ticks = tick + np.cumsum(draw.integers(-1, 2, rows) * (draw.random(rows) < 0.4))
            fills = draw.geometric(0.6, rows)
            firsts = first + np.cumsum(fills) - fills
            sizes = draw.exponential(0.02, rows) + 0.00001
            makers = np.where(draw.random(rows) < 0.5, "True", "False")
            columns = zip(
                range(1_000_000_000 + start, 1_000_000_000 + start + rows),
                (ticks / 100).tolist(),
                sizes.tolist(),
                firsts.tolist(),
                (firsts + fills - 1).tolist(),
                times.tolist(),
                makers.tolist(),
                strict=True,
            )
            text = "".join(
                f"{number},{price:.8f},{size:.5f}000,{one},{last},{ts},{maker},True\n"
                for number, price, size, one, last, ts, maker in columns
            )
            out.write(text.encode())
            tick, first = int(ticks[-1]), int(firsts[-1] + fills[-1])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}\n")
    return path


def imported(archive: Path, lake: Path) -> int:
    """Import *archive* into a new lake in this process; how many trades that were."""
    with Storage.open(lake, create=True) as storage:
        report = import_files(storage, [archive], venue=Venue("BINANCE"))
    assert report.exit_code == 0, report
    return report.rows_added


def bare(archive: Path, target: Path) -> int:
    """Inflate, parse and write the same rows, and nothing else."""
    kinds = dict.fromkeys(_COLUMNS, pa.int64())
    kinds |= {"price": pa.float64(), "quantity": pa.float64(), "maker": pa.bool_()}
    kinds["best"] = pa.bool_()
    group, count = DEFAULT_SIZES.group_rows, 0
    writer: pq.ParquetWriter | None = None
    waiting: list[pa.Table] = []

    def write(rows: pa.Table) -> None:
        nonlocal writer
        if writer is None:
            options = writer_options(TRADES, rows, is_all=False, is_finished=True)
            writer = pq.ParquetWriter(target, TRADES.schema, **options)
        writer.write_table(rows, row_group_size=group)

    with zipfile.ZipFile(archive) as packed, packed.open(packed.infolist()[0]) as stream:
        for batch in pa_csv.open_csv(
            stream,
            pa_csv.ReadOptions(use_threads=False, block_size=1 << 20, column_names=_COLUMNS),
            pa_csv.ParseOptions(),
            pa_csv.ConvertOptions(column_types=kinds, include_columns=_COLUMNS[:-1]),
        ):
            rows = batch.num_rows
            made = {
                "ts": pc.multiply(batch["time"], 1000).cast(pa.timestamp("us")),
                "trade_id": batch["id"],
                "price": batch["price"],
                "quantity": batch["quantity"],
                "side": pc.if_else(batch["maker"], "sell", "buy"),
                "first_trade_id": batch["first"],
                "last_trade_id": batch["last"],
            }
            columns = [
                made[each.name] if each.name in made else pa.nulls(rows, each.type)
                for each in TRADES.schema
            ]
            waiting.append(pa.Table.from_arrays(columns, schema=TRADES.schema))
            count += rows
            held = pa.concat_tables(waiting)
            if held.num_rows >= group:
                write(held.slice(0, group).combine_chunks())
                waiting = [held.slice(group)]
    write(pa.concat_tables(waiting))
    assert writer is not None
    writer.close()
    return count


WORKS = {"bare": bare, "import": imported}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trades", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--month", action="store_true", help="spread them over 31 days")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, source, target = options.measure
        print(measured(WORKS[name], Path(source), Path(target)))
        return
    with tempfile.TemporaryDirectory() as place:
        path = write_archive(Path(place), options.trades, 31 if options.month else 1)
        print(f"{options.trades:,} trades in {path.stat().st_size / 2**20:.1f} MiB")
        module = "tests.benchmarks.bench_archive_trades"
        compare(module, WORKS, path, Path(place), options.rounds)


if __name__ == "__main__":
    main()
