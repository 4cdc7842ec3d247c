"""Reads tardis.dev's CSV files: trades, order books, and the funding in derivative tickers.

Recognised by their header lines. Source: docs.tardis.dev, "Downloadable CSV files, Data types"
(read 2026-11-29), and the files among the recorded data. Days are cut by when a message arrived,
and disconnects are not told, so a file promises nothing: what is not in it was not seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from lake.domain.identifiers import DataType, Series
from lake.domain.times import from_us
from lake.domain.variants import BookKind, BookVariant
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive.binance_names import require_type
from lake.sources.archive.book_stream import book_variant
from lake.sources.archive.bound_reader import BoundReader, Read
from lake.sources.archive.container import refused
from lake.sources.archive.format import OTHERS, ArchiveFile, Hints, Streamed
from lake.sources.archive.mapped_reader import first_lines, mapped_file, require_utc
from lake.sources.archive.mapping import Mapping
from lake.sources.archive.tardis_books import changes, snapshots
from lake.sources.archive.tardis_funding import settlements
from lake.sources.archive.tardis_names import VENUES, Told, told

_START = ("exchange", "symbol", "timestamp", "local_timestamp")
_TRADES = (*_START, "id", "side", "price", "amount")
_CHANGES = (*_START, "is_snapshot", "side", "price", "amount")
_TICKER = (
    *_START,
    "funding_timestamp",
    "funding_rate",
    "predicted_funding_rate",
    "open_interest",
    "last_price",
    "index_price",
    "mark_price",
)
# Their other types by a column that only they have.
_NOT_STORED = {
    "ask_amount": "quotes",
    "strike_price": "an options chain",
    "exercise_price": "an options chain",
}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SIDES = {"buy": "buy", "sell": "sell", "unknown": ""}


class TardisFiles:
    """The reader. It keeps nothing between files."""

    name = "Tardis CSV files"
    tag = OTHERS
    files = (
        "EXCHANGE_trades_YYYY-MM-DD_SYMBOL.csv.gz, ..._book_snapshot_25_..., "
        "..._incremental_book_L2_..., ..._derivative_ticker_..."
    )
    data_types = (DataType.TRADES, DataType.ORDERBOOK, DataType.FUNDING_RATES)
    venues = VENUES
    suffixes = (".csv", ".csv.gz")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        if not path.name.lower().endswith(self.suffixes):
            return None
        lines = first_lines(path)
        header = tuple(lines[0]) if lines else ()
        if header[: len(_START)] != _START:
            return None
        _require_stored(path, header)
        if len(lines) < 2 or len(lines[1]) < len(_START):
            # That is how a day without data is told.
            raise refused(path, "holds no rows, which is not taken as fact")
        _require_day(path, lines[1][3])
        require_utc(path, hints)
        whose = told(path, lines[1][0], lines[1][1], hints)
        if header == _TRADES:
            require_type(path, DataType.TRADES, hints.data_type)
            _require_trades(path, hints)
            return mapped_file(
                self,
                path,
                _trades(lines[1]),
                whose.instrument,
                DataType.TRADES,
                hints=Hints(unit=whose.unit),
                is_in_base=True,
            )
        if header == _TICKER:
            return self._bound(path, hints, whose, DataType.FUNDING_RATES, None, settlements)
        if header == _CHANGES:
            variant = book_variant(path, hints)
            read = partial(changes, header, whose.unit)
        else:
            variant = _snapshot_variant(path, hints, _levels(path, header))
            read = partial(snapshots, header, whose.unit)
        return self._bound(path, hints, whose, DataType.ORDERBOOK, variant, read)

    def stream(self, file: ArchiveFile, *, now: datetime, scratch: Path) -> Streamed:
        raise AssertionError(f"{file.path} has a reader of its own")

    def _bound(
        self,
        path: Path,
        hints: Hints,
        whose: Told,
        data_type: DataType,
        variant: BookVariant | None,
        read: Read,
    ) -> Sequence[ArchiveFile]:
        require_type(path, data_type, hints.data_type)
        series = Series(data_type, whose.instrument.id)
        text = None if variant is None else str(variant)
        return (ArchiveFile(path, BoundReader(self, read), series, whose.instrument, None, text),)


def _trades(first: Sequence[str]) -> Mapping:
    return Mapping(
        columns={
            "ts": "timestamp",
            "received_at": "local_timestamp",
            "trade_id": "id",
            "side": "side",
            "price": "price",
            "quantity": "amount",
        },
        header=True,
        sides=_SIDES,
        only={"exchange": first[0], "symbol": first[1]},
    )


def _snapshot_variant(path: Path, hints: Hints, levels: int) -> BookVariant:
    """As deep as they are, and as they stand, unless the user wants them sampled."""
    if hints.depth is not None and hints.depth > levels:
        raise InvalidRequest(f"{path.name} has {levels} levels; --depth says {hints.depth}.")
    return BookVariant(BookKind.REBUILT, hints.depth or levels, hints.every)


def _levels(path: Path, header: Sequence[str]) -> int:
    """How many levels the columns after the first four hold.

    Raises:
        SourceError: They are others.
    """
    levels = (len(header) - len(_START)) // 4
    if not levels or tuple(header) != (*_START, *level_names(levels)):
        known = {*_TRADES, *_TICKER, *_CHANGES, *level_names(max(levels, 1))}
        unknown = [name for name in header if name not in known]
        raise refused(
            path, f"has unknown columns ({', '.join(unknown) or 'in another order than is known'})"
        )
    return levels


def level_names(levels: int) -> tuple[str, ...]:
    """The columns of *levels* levels, best first."""
    return tuple(
        f"{side}[{level}].{what}"
        for level in range(levels)
        for side in ("asks", "bids")
        for what in ("price", "amount")
    )


def _require_stored(path: Path, header: Sequence[str]) -> None:
    kind = next((kind for name, kind in _NOT_STORED.items() if name in header), None)
    if kind is None and header == _TRADES and _says(path, "liquidations"):
        kind = "liquidations"
    if kind is not None:
        raise SourceError(
            f"{path.name} holds {kind}, which the lake does not store. Read are trades, "
            "book_snapshot_N, incremental_book_L2 and derivative_ticker.",
            retryable=False,
        )


def _require_trades(path: Path, hints: Hints) -> None:
    """Refuse what may be liquidations: their columns are those of trades, only names differ."""
    if not _says(path, "trades") and hints.data_type is not DataType.TRADES:
        raise InvalidRequest(
            f"{path.name} holds trades or liquidations: their columns are the same, and its name "
            "says neither. Say --type trades if they are trades."
        )


def _says(path: Path, word: str) -> bool:
    """Whether the name of the file, or a folder as the vendor's addresses have, says *word*."""
    return word in re.split(r"[^a-z]+", path.name.lower()) or word in path.parts[-5:-1]


def _require_day(path: Path, arrived: str) -> None:
    """Refuse a file whose first row did not arrive on the day that its name says."""
    named = _DATE.search(path.name)
    if named is None or not arrived.isdecimal() or len(arrived) > 17:
        return
    if (day := f"{from_us(int(arrived)):%Y-%m-%d}") != named[0]:
        raise refused(path, f"is named {named[0]}, and its rows arrived on {day}")
