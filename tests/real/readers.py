"""Small readers of the recorded data beside this checkout, for tests and benchmarks only.

Each gives rows in the lake's schema, and the vendor's own CSV of the same rows where there is
one. Importers for users come with the archives; these know nothing of damaged files.
"""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import Venue
from lake.domain.ranges import TimeRange
from lake.domain.schemas import FUNDING_RATES, OHLCV, ORDERBOOK, TRADES, RowSpec
from lake.domain.settlements import scheduled_us
from lake.domain.variants import RefCarry, derive_refs
from lake.sources.archive import Hints
from tests.archive_kit import contents_of, recognised

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"
LATER = datetime(2026, 11, 1)

Row = dict[str, Any]


@dataclass(frozen=True)
class Recorded:
    """The rows of one recording, and the same rows as its vendor's CSV writes them."""

    name: str
    rows: pa.Table
    text: bytes


def table(rows: Iterable[Row], spec: RowSpec) -> pa.Table:
    """*rows* in the lake's schema; what they lack is null."""
    return pa.Table.from_pylist(list(rows), spec.schema)


def moment(us: int) -> datetime:
    """Microseconds since 1970 as the lake's naive UTC."""
    return datetime(1970, 1, 1) + timedelta(microseconds=us)


# Candles


def binance_candles(path: Path) -> Recorded:
    """A candle archive of Binance: zip, or CSV in a gzip wrapper."""
    futures = "_um_" in path.parent.name
    found = recognised(path, Hints(Venue("BINANCEUSDM" if futures else "BINANCE")))
    rows = contents_of(found, now=LATER).page.rows
    text = unzipped(path) if path.suffix == ".zip" else gzip.decompress(path.read_bytes())
    return Recorded(path.name.split(".")[0], rows, text)


def lean_candles(path: Path) -> Recorded:
    """A day of minutes as QuantConnect Lean writes it: time of day, prices and volume."""
    text = unzipped(path)
    midnight = datetime.strptime(path.name[:8], "%Y%m%d")  # noqa: DTZ007 - naive UTC, as in the lake
    rows = [
        _candle(midnight + timedelta(milliseconds=int(each[0])), each[1:])
        for each in csv.reader(text.decode().splitlines())
    ]
    return Recorded(f"{path.parent.name} {path.name[:8]}", table(rows, OHLCV), text)


def freqtrade_candles(path: Path) -> pa.Table:
    """Candles in freqtrade's feather format."""
    held = pyarrow.feather.read_table(path)
    columns = [
        held["date"].cast(pa.timestamp("us"))
        if field.name == "ts"
        else held[field.name]
        if field.name in held.column_names
        else pa.nulls(held.num_rows, field.type)
        for field in OHLCV.schema
    ]
    return pa.Table.from_arrays(columns, schema=OHLCV.schema)


def _candle(ts: datetime, numbers: Iterable[str]) -> Row:
    names = ("open", "high", "low", "close", "volume")
    return {"ts": ts, **{name: float(text) for name, text in zip(names, numbers, strict=True)}}


# Trades


def freqtrade_trades() -> Recorded:
    """12,477 aggregate trades of Binance's XRP/ETH, as freqtrade keeps them.

    Their first and last ids are not in the recording, so they are not in the text either.
    """
    held = json.loads(gzip.decompress((RECORDED / "freqtrade/XRP_ETH-trades.json.gz").read_bytes()))
    rows = [
        {
            "ts": moment(ms * 1000),
            "trade_id": int(name),
            "price": price,
            "quantity": amount,
            "side": side,
        }
        for ms, name, _, side, price, amount, _ in held
    ]
    text = "".join(
        f"{name},{price:.8f},{amount:.8f},{ms},{side == 'sell'},True\n"
        for ms, name, _, side, price, amount, _ in held
    )
    return Recorded("XRPETH aggTrades 2019-10", table(rows, TRADES), text.encode())


def kraken_trades(*, cuts: Iterable[int] = ()) -> pa.Table:
    """Kraken's bulk file of BCH/EUR: time in seconds, price, volume; no id, no side.

    Args:
        cuts: Row numbers at which a page or a file ends.
    """
    with (RECORDED / "freqtrade/kraken_trades_csv/BCHEUR.csv").open() as file:
        held = [(int(s) * 1_000_000, float(p), float(q)) for s, p, q in csv.reader(file)]
    edges = [0, *cuts, len(held)]
    carry, refs = RefCarry(), list[str]()
    for first, end in pairwise(edges):
        part = held[first:end]
        us, prices, sizes = (
            ([each[at] for each in part] for at in range(3)) if part else ([], [], [])
        )
        refs += derive_refs(us, prices, sizes, [None] * len(part), carry)
    rows = [
        {"ts": moment(us), "trade_ref": ref, "price": price, "quantity": size}
        for (us, price, size), ref in zip(held, refs, strict=True)
    ]
    return table(rows, TRADES)


Frame = tuple[int, dict[str, Any]]
"""When it was received (us), and the message."""


def hftbacktest_frames(path: Path) -> Iterator[Frame]:
    """Lines of ``<receive time in ns> <message>``."""
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        stamp, _, message = line.partition(" ")
        yield int(stamp) // 1000, json.loads(message)


def cryptofeed_frames(path: Path) -> Iterator[Frame]:
    """The received frames of a zstd JSON-lines recording, or of the older text format."""
    if path.suffix == ".zst":
        with pa.input_stream(str(path), compression="zstd") as stream:
            lines = stream.read().decode().splitlines()
        for line in lines:
            each = json.loads(line)
            if each["t"] == "recv":
                yield round(each["ts"] * 1_000_000), json.loads(each["data"])
        return
    for line in path.read_text().splitlines():
        stamp, _, message = line.partition(": ")
        if message.startswith("{"):
            yield round(float(stamp) * 1_000_000), json.loads(message)


def binance_stream_trades(frames: Iterable[Frame]) -> dict[tuple[str, str], list[tuple[Row, Any]]]:
    """Trades of Binance's streams by symbol and event, each with its message."""
    found: dict[tuple[str, str], list[tuple[Row, Any]]] = {}
    for received_us, frame in frames:
        data = frame.get("data")
        # The futures stream reports what the insurance fund takes over as trades at price 0.
        if not isinstance(data, dict) or data.get("e") not in ("trade", "aggTrade"):
            continue
        if Decimal(data["p"]) == 0 or Decimal(data["q"]) == 0:
            continue
        row = {
            "ts": moment(data["T"] * 1000),
            "trade_id": data["t"] if data["e"] == "trade" else data["a"],
            "price": float(data["p"]),
            "quantity": float(data["q"]),
            "side": "sell" if data["m"] else "buy",
            "first_trade_id": data.get("f"),
            "last_trade_id": data.get("l"),
            "received_at": moment(received_us),
        }
        found.setdefault((data["s"], data["e"]), []).append((row, data))
    return found


def binance_stream_recording(path: Path) -> Recorded:
    """The single trades of an hftbacktest recording, and Binance's ``trades`` CSV of them.

    Columns and spelling as in the README of binance/binance-public-data (read 2026-11-22): spot
    ``id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch``, futures without the last.
    """
    [found] = [
        trades
        for (_, event), trades in binance_stream_trades(hftbacktest_frames(path)).items()
        if event == "trade"
    ]
    is_spot = path.parent.name == "spot"
    lines = []
    for _, data in found:
        quote = Decimal(data["p"]) * Decimal(data["q"])
        if is_spot:
            cells = [data["t"], data["p"], data["q"], f"{quote:.8f}", data["T"]]
            cells += [data["m"], data["M"]]
        else:
            lower = "true" if data["m"] else "false"
            cells = [data["t"], data["p"], data["q"], quote.normalize(), data["T"], lower]
        lines.append(",".join(map(str, cells)) + "\n")
    # The archive does not say when a trade was received.
    rows = [row | {"received_at": None} for row, _ in found]
    name = f"BTCUSDT {path.parent.name} trades 2024-08-08"
    return Recorded(name, table(rows, TRADES), "".join(lines).encode())


# Books


def binance_rest_books() -> dict[str, Row]:
    """The order books that Binance's REST answered to cryptofeed, by symbol."""
    found = {}
    for line in (RECORDED / "cryptofeed_master/BINANCE.http.0.0").read_text().splitlines():
        if not line:
            continue
        head, _, body = line.partition(": {")
        url, _, stamp = head.partition(" -> ")
        answer = json.loads("{" + body)
        received = moment(round(float(stamp) * 1_000_000))
        symbol = url.split("symbol=")[1].split("&")[0]
        found[symbol] = book(answer["bids"], answer["asks"]) | {
            "ts": received,
            "sequence": answer["lastUpdateId"],
            "received_at": received,
        }
    return found


def book(bids: list[Any], asks: list[Any]) -> Row:
    """The columns of a snapshot whose levels are best first."""
    row: Row = {}
    for side, levels in (("bid", bids), ("ask", asks)):
        row[f"{side}_prices"] = [float(level[0]) for level in levels]
        row[f"{side}_quantities"] = [float(level[1]) for level in levels]
        row[f"best_{side}"] = row[f"{side}_prices"][0]
        row[f"best_{side}_quantity"] = row[f"{side}_quantities"][0]
    return row


def tardis_books(levels: int) -> Recorded:
    """Ten snapshots in tardis.dev's CSV: times in microseconds, levels in columns."""
    path = RECORDED / f"nautilus/tardis/binance-futures_book_snapshot_{levels}_BTCUSDT.csv"
    with path.open() as file:
        held = list(csv.DictReader(file))
    rows = [
        book(
            *(
                [
                    [each[f"{side}[{at}].price"], each[f"{side}[{at}].amount"]]
                    for at in range(levels)
                ]
                for side in ("bids", "asks")
            )
        )
        | {
            "ts": moment(int(each["timestamp"])),
            "received_at": moment(int(each["local_timestamp"])),
        }
        for each in held
    ]
    return Recorded(f"tardis books of {levels}", table(rows, ORDERBOOK), path.read_bytes())


def rebuilt_books(market: str, *, every_ms: int, levels: int) -> Recorded:
    """Snapshots of an hftbacktest recording, rebuilt from its REST snapshot and the changes.

    The text is what tardis.dev's ``book_snapshot`` CSV of the same books would be.
    """
    bids, asks = _Side(-1), _Side(1)
    rows, lines, due = [], [], 0
    last_id: int | None = None
    path = RECORDED / f"hftbacktest_ws/{market}/btcusdt_20240808.gz"
    frames = list(hftbacktest_frames(path))
    for _, frame in frames:
        if "lastUpdateId" in frame:
            last_id = frame["lastUpdateId"]
            bids.lay(frame["bids"])
            asks.lay(frame["asks"])
    for received_us, frame in frames:
        data = frame.get("data")
        if not isinstance(data, dict) or data.get("e") != "depthUpdate":
            continue
        if last_id is None or data["u"] <= last_id:
            continue
        bids.lay(data["b"])
        asks.lay(data["a"])
        # Spot's changes bear no transaction time.
        ms = data.get("T", data["E"])
        if ms < due:
            continue
        due = ms - ms % every_ms + every_ms
        known = {"ts": moment(ms * 1000), "sequence": data["u"], "received_at": moment(received_us)}
        rows.append(book(bids.best(levels), asks.best(levels)) | known)
        cells = ["binance", "BTCUSDT", str(ms * 1000), str(received_us)]
        for ask, bid in zip(asks.best(levels), bids.best(levels), strict=True):
            cells += [*ask, *bid]
        lines.append(",".join(cells))
    name = f"BTCUSDT {market} books of {levels} every {every_ms} ms"
    return Recorded(name, table(rows, ORDERBOOK), "\n".join(lines).encode())


class _Side:
    """The levels of one side of a book, the best first."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._prices: list[float] = []  # with the sign that puts the best first
        self._quantities: dict[float, str] = {}

    def lay(self, changes: list[list[str]]) -> None:
        for price, quantity in changes:
            key = self._sign * float(price)
            is_held = key in self._quantities
            if float(quantity):
                # As short as tardis.dev writes it.
                self._quantities[key] = quantity.rstrip("0").rstrip(".")
                if not is_held:
                    insort(self._prices, key)
            elif is_held:
                del self._quantities[key]
                del self._prices[bisect_left(self._prices, key)]

    def best(self, levels: int) -> list[tuple[str, str]]:
        return [
            (str(abs(key)).removesuffix(".0"), self._quantities[key])
            for key in self._prices[:levels]
        ]


# Funding

# The files have no zone: UTC+3 in those of binance and bybit, UTC in that of gate.
_ZONE = {"binance": timedelta(hours=3), "bybit": timedelta(hours=3), "gate": timedelta()}


def funding_history(venue: str) -> Recorded:
    """BTC-USDT funding of four years, settlements as that venue said them."""
    [path] = (RECORDED / "funding_history_csv").glob(f"BTC-USDT_{venue}_*.csv")
    rows = []
    with path.open() as file:
        for symbol, said, rate in list(csv.reader(file))[1:]:
            assert symbol
            settled = datetime.fromisoformat(said).replace(tzinfo=UTC) - _ZONE[venue]
            us = (settled - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
            rows.append(
                {
                    "ts": moment(scheduled_us(us)),
                    "settled_at": moment(us),
                    "funding_rate": float(rate),
                }
            )
    return Recorded(f"{venue} BTC-USDT funding", table(rows, FUNDING_RATES), path.read_bytes())


def unzipped(path: Path) -> bytes:
    """The only member of a zip."""
    with zipfile.ZipFile(path) as archive:
        [member] = archive.infolist()
        return archive.read(member)


def whole_minutes(rows: pa.Table) -> Claim:
    """A promise for all minutes that *rows* touch, as whoever asked for them would have."""
    first, last = rows["ts"][0].as_py(), rows["ts"][-1].as_py()
    end = last.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return Claim(
        TimeRange(first.replace(second=0, microsecond=0), end), Basis.ANSWER, "second answer"
    )
