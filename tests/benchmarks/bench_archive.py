"""Benchmark: years of a whole archive over HTTP into a lake, through the command line.

Run it with::

    python -m tests.benchmarks.bench_archive [--instruments 20] [--years 3] [--trades 100000000]
                                             [--kills 3]

It makes a tree like Binance's first (not measured), with checksums, and serves it on loopback from
a process of its own: candles of 1m by month, aggregate trades of one instrument by day. Some months
are missing (their days are there), some files differ from their checksum, and some are published
anew afterwards. Rows per second are per core: rows over CPU seconds of the backfill's process.

With ``--kills`` each backfill is killed (-9) so often, some seconds after it has begun, and started
again; what the server sent in all is compared with what the files are, since a restart goes on
where the line broke. What is stored is counted at the end and has to be everything.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from aiohttp import web

from lake.domain.timeframe import TimeFrame
from lake.simulator.market import generate
from lake.storage.lake import Storage
from tests.box import BoxServer

START = datetime(2021, 1, 1)
EPOCH = datetime(1970, 1, 1)
DAY = timedelta(days=1)
TRADES_A_DAY = 1_000_000
# Of the first instrument: months that come by days, and months whose file is damaged.
MISSING, CORRUPTED = ("2021-03", "2022-07"), ("2021-05",)
REVISED = ("2021-02", "2021-08", "2022-01")
PLAIN = pa_csv.WriteOptions(include_header=False, quoting_style="none")


def names(count: int) -> list[str]:
    return [f"A{number:02}/USDT" for number in range(count)]


def candles(start: datetime, end: datetime, seed: int) -> bytes:
    """The CSV of the minutes from *start* to *end*."""
    first = (start - EPOCH) // timedelta(milliseconds=1)
    count = (end - start) // timedelta(minutes=1)
    draw = np.random.default_rng(seed)
    close = np.round(np.maximum(1_000, 42_000 + np.cumsum(draw.normal(0, 8, count))), 2)
    opened = np.concatenate(([42_000.0], close[:-1]))
    volume = np.round(draw.exponential(30, count), 5) + 0.00001
    ts = first + 60_000 * np.arange(count)
    table = pa.table(
        {
            "ts": ts,
            "open": opened,
            "high": np.maximum(opened, close) + np.round(draw.exponential(5, count), 2),
            "low": np.minimum(opened, close) - np.round(draw.exponential(5, count), 2),
            "close": close,
            "volume": volume,
            "end": ts + 59_999,
            "quote": np.round(volume * close, 7),
            "count": draw.integers(50, 5_000, count),
            "taker": np.round(volume / 2, 5),
            "taker_quote": np.round(volume * close / 2, 7),
            "ignore": np.zeros(count, np.int8),
        }
    )
    out = io.BytesIO()
    pa_csv.write_csv(table, out, PLAIN)
    return out.getvalue()


def trades(day: datetime, first_id: int, seed: int) -> bytes:
    """The CSV of one day's aggregate trades."""
    draw = np.random.default_rng(seed)
    count = TRADES_A_DAY
    start = (day - EPOCH) // timedelta(milliseconds=1)
    fills = draw.geometric(0.6, count)
    last = first_id * 2 + np.cumsum(fills)
    maker = draw.random(count) < 0.5
    table = pa.table(
        {
            "id": first_id + np.arange(count),
            "price": np.round(42_000 + np.cumsum(draw.choice([-0.01, 0, 0, 0.01], count)), 2),
            "quantity": np.round(draw.exponential(0.02, count), 5) + 0.00001,
            "first": last - fills + 1,
            "last": last,
            "ts": start + np.sort(draw.integers(0, 86_400_000, count)),
            "maker": np.where(maker, "True", "False"),
            "best": np.full(count, "True"),
        }
    )
    out = io.BytesIO()
    pa_csv.write_csv(table, out, PLAIN)
    return out.getvalue()


def put(folder: Path, name: str, text: bytes, *, wrong: bool = False) -> None:
    """A zip with its checksum below *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(f"{name}.csv", text)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    told = "0" * 64 if wrong else digest
    path.with_name(f"{name}.zip.CHECKSUM").write_text(f"{told}  {name}.zip\n")


def month_after(start: datetime) -> datetime:
    return (start + 32 * DAY).replace(day=1)


def make_tree(root: Path, instruments: int, years: int, count: int) -> int:
    """The files; how many candles are in them."""
    rows = 0
    end = START.replace(year=START.year + years)
    for number, symbol in enumerate(name.replace("/", "") for name in names(instruments)):
        base = root / "data/spot"
        start = START
        while start < end:
            following, when = month_after(start), f"{start:%Y-%m}"
            text = candles(start, following, number)
            rows += text.count(b"\n")
            if number == 0 and when in (*MISSING, *CORRUPTED):
                lines, day = text.splitlines(keepends=True), start
                for at in range(0, len(lines), 1_440):
                    daily = b"".join(lines[at : at + 1_440])
                    folder = base / f"daily/klines/{symbol}/1m"
                    put(folder, f"{symbol}-1m-{day:%Y-%m-%d}", daily)
                    day += DAY
            if number or when not in MISSING:
                wrong = number == 0 and when in CORRUPTED
                folder = base / f"monthly/klines/{symbol}/1m"
                put(folder, f"{symbol}-1m-{when}", text, wrong=wrong)
            start = following
    symbol = names(1)[0].replace("/", "")
    for number in range(count // TRADES_A_DAY):
        day = START + number * DAY
        text = trades(day, 1_000 + number * TRADES_A_DAY, number)
        put(
            root / f"data/spot/daily/aggTrades/{symbol}", f"{symbol}-aggTrades-{day:%Y-%m-%d}", text
        )
    return rows


def revise(root: Path) -> None:
    """Publish some months of the second instrument again, with other candles."""
    symbol = names(2)[1].replace("/", "")
    for when in REVISED:
        start = datetime.fromisoformat(f"{when}-01")
        text = candles(start, month_after(start), 999)
        put(root / f"data/spot/monthly/klines/{symbol}/1m", f"{symbol}-1m-{when}", text)


async def serve(root: Path) -> None:
    """The tree on a free port, until stdin ends; the first line is its address."""
    sent: Counter[str] = Counter()

    async def told(request: web.Request) -> web.Response:
        return web.json_response(sent)

    async def file(request: web.Request) -> web.StreamResponse:
        path = root / request.match_info["path"]
        if not path.is_file():
            raise web.HTTPNotFound
        size = path.stat().st_size
        start = request.http_range.start or 0
        response = web.StreamResponse(status=206 if start else 200)
        response.headers["ETag"] = f'"{size}-{path.stat().st_mtime_ns}"'
        response.content_length = size - start
        await response.prepare(request)
        with path.open("rb") as opened:
            opened.seek(start)
            while chunk := opened.read(1 << 16):
                await response.write(chunk)
                sent[path.name] += len(chunk)
        return response

    application = web.Application()
    application.router.add_get("/sent", told)
    application.router.add_get("/{path:.+}", file)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def sent_again(url: str, tree: Path, kind: str) -> str:
    """How much more was sent than the files of *kind* are."""
    with urllib.request.urlopen(f"{url}/sent") as answer:
        sent = json.loads(answer.read())
    sizes = {path.name: path.stat().st_size for path in tree.rglob(f"*{kind}*.zip")}
    asked = {name: size for name, size in sizes.items() if sent.get(name)}
    twice = [name for name, size in asked.items() if sent[name] >= 2 * size]
    whole, total = sum(asked.values()), sum(sent[name] for name in asked)
    return (
        f"{len(asked):,} files of {whole:,} bytes, sent {total:,} bytes "
        f"({total / whole - 1:+.2%}), {len(twice)} of them twice whole"
    )


def kill(*words: str, after_s: float) -> None:
    """Start a command, and kill it -9 some seconds later."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lake", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LAKE_MIN_FREE": "0"},
    )
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        print(f"  killed after {after_s:.1f} s", flush=True)
    else:
        print(f"  ended within {after_s:.1f} s, too soon to be killed", flush=True)


def lake(*words: str, expected: int = 0) -> dict[str, float]:
    """One command in a process of its own: its time and its peak of memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    # Not a pipe: a list of all files is longer than what a pipe holds while nobody reads it.
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lake", *words],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LAKE_MIN_FREE": "0"},
        )
        peak = 0
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
                [line] = [each for each in status.splitlines() if "VmHWM" in each] or ["0 0"]
                peak = max(peak, int(line.split()[1]))
            except OSError:
                break
            time.sleep(0.05)
        process.wait()
        output.seek(0)
        out = output.read()
    assert process.returncode == expected, out
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print("  | " + "\n  | ".join(out.strip().splitlines()[:6]), flush=True)
    return {"wall_s": time.perf_counter() - started, "cpu_s": cpu, "peak_mb": peak / 1024}


def shown(what: str, rows: int, done: dict[str, float], kills: int) -> None:
    if kills:
        print(f"{what}: the rest in {done['wall_s']:.1f} s, peak {done['peak_mb']:.0f} MB")
        return
    print(
        f"{what}: {rows / done['cpu_s']:,.0f} rows/s per core, {rows / done['wall_s']:,.0f} rows/s "
        f"wall, peak {done['peak_mb']:.0f} MB",
        flush=True,
    )


def run(place: Path, options: argparse.Namespace) -> None:
    tree, market, data = place / "tree", place / "market", place / "lake"
    started = time.perf_counter()
    rows = make_tree(tree, options.instruments, options.years, options.trades)
    files = sum(1 for path in tree.rglob("*.zip"))
    size = sum(path.stat().st_size for path in tree.rglob("*.zip"))
    print(
        f"{rows:,} candles and {options.trades:,} trades in {files:,} files, "
        f"{size / 2**30:.2f} GiB, made in {time.perf_counter() - started:.0f} s"
    )
    with Storage.open(market, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=1,
            start=START,
            end=START + DAY,
            instruments=names(options.instruments),
            timeframes=(TimeFrame.MINUTE_1,),
            rate=0.05,
            store_trades=True,
        )
    served = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.bench_archive", "--serve", str(tree)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    assert served.stdout is not None
    url = served.stdout.readline().strip()
    now = START.replace(year=START.year + options.years) + 20 * DAY
    try:
        with BoxServer(market, clock_start=now.isoformat(), clock_rate=0, limits=False) as box:
            line = ["--base-url", box.url, "--archive-url", url, "--data", str(data)]
            ask = ["backfill", "binance", *names(options.instruments), "--timeframe", "1m", "--yes"]
            end = START.replace(year=START.year + options.years)
            span = ["--start", f"{START:%F}", "--end", f"{end:%F}", "--source", "archive"]
            for number in range(options.kills):
                kill(*ask, *span, *line, after_s=4 + 5.3 * number)
            shown("candles", rows, lake(*ask, *span, *line), options.kills)
            again = lake(*ask, *span, *line)
            print(f"again: {again['wall_s']:.1f} s")
            if options.kills:
                print(sent_again(url, tree, "-1m-"))
            if options.trades:
                ask = ["backfill", "binance", names(1)[0], "--type", "trades", "--yes"]
                last = START + options.trades // TRADES_A_DAY * DAY
                span = ["--start", f"{START:%F}", "--end", f"{last:%F}", "--source", "archive"]
                for number in range(options.kills):
                    kill(*ask, *span, *line, after_s=6 + 5.3 * number)
                shown("trades", options.trades, lake(*ask, *span, *line), options.kills)
                if options.kills:
                    print(sent_again(url, tree, "-aggTrades-"))
            revise(tree)
            lake("archive", "verify", "--changed", *line, expected=3)
            lake("archive", "verify", "--fix", *line)
            lake("archive", "verify", "--changed", *line)
    finally:
        assert served.stdin is not None
        served.stdin.close()
        served.wait(10)
    counted = subprocess.run(
        [sys.executable, "-m", "lake", "status", "--json", "--data", str(data)],
        capture_output=True,
        text=True,
        check=True,
    )
    series = json.loads(counted.stdout)
    stored = sum(each["rows"] for each in series if each["timeframe"])
    fills = sum(each["rows"] for each in series if not each["timeframe"])
    print(f"stored {stored:,} candles of {rows:,}, {fills:,} trades of {options.trades:,}")
    assert (stored, fills) == (rows, options.trades)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instruments", type=int, default=20)
    parser.add_argument("--years", type=int, default=3)
    parser.add_argument("--trades", type=int, default=100_000_000)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    with tempfile.TemporaryDirectory() as place:
        run(Path(place), options)


if __name__ == "__main__":
    main()
