"""demo: the whole way without a network, from a synthetic market to the answer of a query."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lake.cli.arguments import Line, Place, Span
from lake.cli.output import seconds_text, size_text
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.domain.times import iso
from lake.errors import StorageError

_START = datetime(2024, 1, 1)
_END = _START + timedelta(days=90)
_INSTRUMENTS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
_TIMEFRAMES = (TimeFrame.MINUTE_1, TimeFrame.HOUR_1)
_LISTED = {"SOL/USDT": datetime(2024, 1, 20, 9)}
_OUTAGE = TimeRange(datetime(2024, 2, 14, 3, 10), datetime(2024, 2, 14, 5, 40))
_SEED = 20_240_101
_RATE = 0.05  # trades a second: enough for a candle in nearly every minute, and quickly made
# The exchange's clock stands after the end, so that every candle has settled.
_NOW = _END + timedelta(hours=1)
_REFUSALS = {"fault": "http_429", "count": 8, "after": 60, "path": "klines", "retry_after_s": 2}
_QUERY = """select
    instrument,
    count(*) as candles,
    min(low) as lowest,
    max(high) as highest,
    round(sum(quote_volume)) as quote_volume
from ohlcv_1h
group by instrument
order by instrument"""


def demo(*, folder: Annotated[Path, Parameter(name=["--folder"])] = Path("build/demo")) -> int:
    """Show the whole way without a network: generate, serve, backfill, gaps, SQL.

    A synthetic market is written and served as an exchange on loopback; another lake is filled
    from it through the real ccxt client, while the exchange refuses now and then.

    Args:
        folder: Where the two lakes of the demo lie.
    """
    market, lake = folder / "market", folder / "lake"
    _generate(market)
    with _exchange(market) as url:
        code = _backfill(url, lake)
    if code:
        return code
    return _ask(lake)


def _generate(market: Path) -> None:
    from lake.simulator.market import generate
    from lake.storage.files import is_lake
    from lake.storage.lake import Storage

    # Written under another name first: a demo that was killed begins again, not in the middle.
    if is_lake(market):
        print(f"1. A synthetic market lies at {market} already.")
        return
    print(f"1. Write a synthetic market: {', '.join(_INSTRUMENTS)}, 90 days, into {market}")
    print(f"   with an outage {iso(_OUTAGE.start)} .. {iso(_OUTAGE.end)}", end="")
    print(f" and SOL/USDT listed at {iso(_LISTED['SOL/USDT'])}.", flush=True)
    unfinished = market.with_name("market.unfinished")
    if is_lake(unfinished):
        _remove(unfinished)
    with Storage.open(unfinished, create=True, origin="synthetic") as storage:
        made = generate(
            storage,
            seed=_SEED,
            start=_START,
            end=_END,
            instruments=_INSTRUMENTS,
            timeframes=_TIMEFRAMES,
            rate=_RATE,
            listings=_LISTED,
            outages=[_OUTAGE],
        )
    unfinished.rename(market)
    print(f"   {made.rows:,} candles of {made.trades:,} trades in {seconds_text(made.seconds)}")


def _remove(unfinished: Path) -> None:
    import shutil

    shutil.rmtree(unfinished)


@contextmanager
def _exchange(market: Path) -> Iterator[str]:
    """The market as an exchange, in a process of its own; yields its URL."""
    command = [sys.executable, "-m", "lake", "serve", "--data", str(market), "--now", iso(_NOW)]
    # In a session of its own: Ctrl-C is for the backfill, which still wants its last pages.
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().decode().strip()
            if not url:
                raise StorageError(
                    f"The exchange over {market} did not start; its own message stands above. "
                    f"Remove {market} and run the demo again."
                )
            print(f"\n2. Serve it as an exchange on loopback: {url}")
            print("   It will refuse some requests with 429 on the way.", flush=True)
            _control(url, "faults", {"queue": [_REFUSALS]})
            yield url
        finally:
            process.terminate()


def _control(url: str, name: str, body: object) -> None:
    # A proxy in the environment is not for loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = json.dumps(body).encode()
    with opener.open(f"{url}/_box/{name}", data=data, timeout=10) as answer:
        answer.read()


def _backfill(url: str, lake: Path) -> int:
    from lake.cli.fetch import backfill

    frames = ",".join(each.value for each in _TIMEFRAMES)
    print("\n3. Fill another lake from it through ccxt:")
    print(f"   lake backfill binance {' '.join(_INSTRUMENTS)} --timeframe {frames} \\")
    print(f"     --start {_START:%Y-%m-%d} --end {_END:%Y-%m-%d} --base-url {url} --data {lake}\n")
    sys.stdout.flush()
    return backfill(
        "binance",
        _INSTRUMENTS,
        timeframe=[frames],
        span=Span(start=iso(_START), end=iso(_END)),
        yes=True,
        line=Line(base_url=url),
        place=Place(data=lake),
    )


def _ask(lake: Path) -> int:
    size = sum(path.stat().st_size for path in lake.rglob("*.parquet"))
    print(f"\n4. Ask it ({size_text(size)} of Parquet). lake sql --data {lake} \\")
    print('  "' + _QUERY.replace("\n", "\n   ") + '"\n')
    sys.stdout.flush()
    # In a process of its own: this one has had the catalog open, and DuckDB must not follow.
    command = [sys.executable, "-m", "lake", "sql", _QUERY, "--data", str(lake)]
    return subprocess.run(command, check=False).returncode
