"""Reads recordings of exchanges' streams: trades, and order books rebuilt from their changes.

A recording holds many series. Quotes, tickers and candles in it are left out. How files are
written, :mod:`lake.sources.archive.recorded_frames` knows; what messages mean, feeds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path

from lake.domain.identifiers import DataType, Series, Venue
from lake.domain.variants import BookKind, BookVariant, IdScheme, TradeKind, TradesVariant
from lake.errors import InvalidRequest
from lake.sources.archive.amounts import ToBase, to_base
from lake.sources.archive.binance_feed import BinanceFeed, answered_of, asked_of, venue_of
from lake.sources.archive.binance_names import COINM, SPOT, USDM
from lake.sources.archive.book_builder import BookEvent
from lake.sources.archive.book_stream import as_told, book_variant, builder_of, rebuilt
from lake.sources.archive.bound_reader import BoundReader
from lake.sources.archive.coinbase_feed import CoinbaseFeed
from lake.sources.archive.container import peek, refused
from lake.sources.archive.feed import Feed, Frame, Kind, RecordedTrade, Stream
from lake.sources.archive.format import (
    OTHERS,
    ArchiveFile,
    ArchiveFormat,
    Hints,
    NotRecognised,
    Streamed,
)
from lake.sources.archive.hyperliquid_feed import HyperliquidFeed
from lake.sources.archive.json_lines import HTML
from lake.sources.archive.mapped_reader import require_utc
from lake.sources.archive.mapping import unit_for
from lake.sources.archive.okx_feed import OkxFeed
from lake.sources.archive.recorded_frames import (
    Layout,
    evidence_of,
    frames,
    header_of,
    layout_of,
)
from lake.sources.archive.recorded_trades import recorded

MakeFeed = Callable[[], Feed]

_ZIP = b"PK"
_HEADER_BYTES = 1 << 16
_NO_MESSAGE = (ValueError, KeyError, TypeError, IndexError, AttributeError, ZeroDivisionError)
# The collector of hftbacktest writes a file per symbol and day.
_HFTBACKTEST = re.compile(r"(?P<symbol>[A-Za-z0-9_]+)_(?P<date>\d{8})\.(?:gz|dat|txt|json)")
_OLDER = re.compile(r"(?P<exchange>[A-Z_]+)\.(?:ws|http)\.\d+\.\d+")
# What cryptofeed calls exchanges.
_FEEDS: dict[str, MakeFeed] = {
    "BINANCE": partial(BinanceFeed, SPOT),
    "BINANCE_FUTURES": partial(BinanceFeed, USDM),
    "BINANCE_DELIVERY": partial(BinanceFeed, COINM),
    "COINBASE": CoinbaseFeed,
    "HYPERLIQUID": HyperliquidFeed,
    "OKX": OkxFeed,
}
# Messages in which the exchange of a recording has to show itself.
_MOST_UNTOLD = 10_000
_VENUES = (SPOT, USDM, COINM, *map(Venue, ("COINBASE", "HYPERLIQUID", "OKX")))


@dataclass(frozen=True, slots=True)
class _Recording:
    """A file, how its messages are read, and files whose answers come before them."""

    path: Path
    layout: Layout
    make_feed: MakeFeed
    before: tuple[Path, ...] = ()

    def frames(self, marks: Sequence[bytes] = ()) -> Iterator[Frame]:
        answers = (frames(each, Layout.OLDER_ANSWERS, marks) for each in self.before)
        return chain(*answers, frames(self.path, self.layout, marks))

    def streams(self) -> tuple[Feed, list[Stream]]:
        """Everything that it holds, in order, and the feed that saw all of it.

        Raises:
            SourceError: It is damaged, or some message is none of its exchange.
        """
        feed, found = self.make_feed(), set[Stream]()
        for frame in self.frames():
            try:
                found.update(feed.streams(frame))
            except _NO_MESSAGE as error:
                raise self.odd(frame, error) from error
        return feed, sorted(found, key=str)

    def odd(self, frame: Frame, error: Exception) -> Exception:
        return refused(self.path, f"has a message that is not read (line {frame.line}: {error!r})")


class _Recordings:
    """What both kinds of recordings have in common."""

    tag = OTHERS
    data_types = (DataType.TRADES, DataType.ORDERBOOK)

    def stream(self, file: ArchiveFile, *, now: datetime, scratch: Path) -> Streamed:
        raise AssertionError(f"{file.path} has a reader of its own")


class HftbacktestRecordings(_Recordings):
    """The reader. It keeps nothing between files."""

    name = "hftbacktest recordings"
    files = "SYMBOL_YYYYMMDD.gz"
    venues = (SPOT, USDM, COINM, Venue("HYPERLIQUID"))
    suffixes = (".gz",)

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        if _layout(path) is not Layout.HFTBACKTEST:
            return None
        named = _HFTBACKTEST.fullmatch(path.name)
        make_feed = _shown(path, named["symbol"].upper() if named else "")
        return _files(self, _Recording(path, Layout.HFTBACKTEST, make_feed), hints)


class CryptofeedRecordings(_Recordings):
    """The reader. It keeps nothing between files."""

    name = "cryptofeed recordings"
    files = "EXCHANGE.jsonl.zst, EXCHANGE.jsonl; older: EXCHANGE.ws.N.N beside EXCHANGE.http.N.N"
    venues = _VENUES
    suffixes = (".jsonl.zst", ".jsonl", ".jsonl.gz", ".ws.*.*", ".http.*.*")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        layout = _layout(path)
        if layout is Layout.JSON_LINES:
            with peek(path, unlike=HTML) as container, container.stream(_HEADER_BYTES) as stream:
                header = header_of(path, stream.read(_HEADER_BYTES))
            make_feed = _feed(path, str(header.get("exchange", "")))
            return _files(self, _Recording(path, layout, make_feed), hints)
        named = _OLDER.fullmatch(path.name)
        if named is None or layout not in (Layout.OLDER_STREAM, Layout.OLDER_ANSWERS):
            return None
        exchange = named["exchange"]
        make_feed = _feed(path, exchange)
        if layout is Layout.OLDER_ANSWERS:
            if beside := sorted(path.parent.glob(f"{exchange}.ws.*")):
                raise NotRecognised(
                    f"{path.name} holds the answers that {beside[0].name} begins with. Import that "
                    "one: both are read together.",
                    retryable=False,
                )
            return _answers(self, _Recording(path, layout, make_feed), hints)
        before = tuple(sorted(path.parent.glob(f"{exchange}.http.*")))
        return _files(self, _Recording(path, layout, make_feed, before), hints)


def _layout(path: Path) -> Layout | None:
    with path.open("rb") as file:
        # What a zip holds, or a file that should be one, is for others to say.
        if path.suffix.lower() == ".zip" or file.read(len(_ZIP)) == _ZIP:
            return None
    with peek(path, unlike=HTML) as container:
        return layout_of(container.head())


def _feed(path: Path, exchange: str) -> MakeFeed:
    if (found := _FEEDS.get(exchange)) is None:
        raise refused(
            path,
            f"is a recording of {exchange or 'no exchange'}, whose messages are not read; read "
            f"are those of {', '.join(_FEEDS)}",
        )
    return found


def _shown(path: Path, symbol: str) -> MakeFeed:
    """The feed of a recording that does not say its exchange: its messages do."""
    for number, frame in enumerate(frames(path, Layout.HFTBACKTEST)):
        if (venue := venue_of(frame.body)) is not None:
            return partial(BinanceFeed, venue, symbol)
        channel = frame.body.get("channel") if isinstance(frame.body, dict) else None
        if channel in ("l2Book", "trades"):
            return HyperliquidFeed
        if number > _MOST_UNTOLD:
            break
    raise refused(
        path, "is a recording of an exchange that is not read; read are Binance and Hyperliquid"
    )


def _files(reader: ArchiveFormat, recording: _Recording, hints: Hints) -> Sequence[ArchiveFile]:
    require_utc(recording.path, hints)
    feed, streams = recording.streams()
    files = [
        file
        for stream in streams
        if (file := _file(reader, recording, feed, stream, hints)) is not None
    ]
    if not files:
        held = ", ".join(map(str, streams)) or "no trades and no changes of books"
        raise InvalidRequest(f"{recording.path.name} holds {held}: none of what was asked for.")
    return files


def _answers(reader: ArchiveFormat, recording: _Recording, hints: Hints) -> Sequence[ArchiveFile]:
    """The books that were answered to a recorder, where its stream is not at hand."""
    require_utc(recording.path, hints)
    feed = recording.make_feed()
    depths: dict[str, int] = {}
    for frame in recording.frames():
        if (symbol := answered_of(frame)) is not None:
            levels = max(len(frame.body["bids"]), len(frame.body["asks"]))
            depths[symbol] = max(depths.get(symbol, 0), asked_of(frame) or levels)
    files = []
    for symbol, depth in sorted(depths.items()):
        stream = Stream(symbol, Kind.BOOKS)
        file = _file(reader, recording, feed, stream, replace(hints, depth=hints.depth or depth))
        if file is not None:
            variant = BookVariant(BookKind.REST, hints.depth or depth)
            files.append(replace(file, variant=str(variant)))
    if not files:
        raise InvalidRequest(f"{recording.path.name} holds no book that was asked for.")
    return files


def _file(
    reader: ArchiveFormat, recording: _Recording, feed: Feed, stream: Stream, hints: Hints
) -> ArchiveFile | None:
    """The series of *stream*; None where the user asked for others."""
    path, data_type = recording.path, stream.kind.data_type
    if hints.data_type not in (None, data_type):
        return None
    try:
        instrument, unit = feed.market(stream.symbol, hints.instrument)
    except InvalidRequest as error:
        if hints.instrument is None:
            raise InvalidRequest(f"{path.name}: {error} --instrument picks one of many.") from error
        return None
    if hints.venue not in (None, instrument.venue):
        raise InvalidRequest(
            f"{path.name} is of {instrument.venue}, but --venue says {hints.venue}."
        )
    known = unit_for(hints.unit or unit, instrument, DataType.TRADES, is_in_base=False)
    if known.kind.value == "contracts":
        instrument = replace(instrument, contract_size=known.size)
    in_base = to_base(known, instrument)
    variant = str(_variant(path, feed, stream.kind, hints))
    bound = BoundReader(reader, partial(_read, recording, stream, in_base))
    return ArchiveFile(
        path,
        bound,
        Series(data_type, instrument.id),
        instrument,
        None,
        variant,
        str(stream),
        recording.before,
    )


def _variant(path: Path, feed: Feed, kind: Kind, hints: Hints) -> TradesVariant | BookVariant:
    if kind.data_type is DataType.TRADES:
        return TradesVariant(TradeKind(kind.value), IdScheme.VENUE)
    sampled = book_variant(path, hints, levels=feed.levels)
    if kind is Kind.CHANGES:
        return sampled
    return BookVariant(BookKind.FEED, sampled.depth, hints.every)


def _read(
    recording: _Recording,
    stream: Stream,
    in_base: ToBase,
    file: ArchiveFile,
    now: datetime,
    scratch: Path,
) -> Streamed:
    feed = recording.make_feed()
    source = recording.frames(feed.marks(stream))
    if stream.kind.data_type is DataType.TRADES:
        return recorded(
            _trades(recording, feed, stream, source),
            in_base,
            file,
            now=now,
            scratch=scratch,
            is_intact=lambda: bool(evidence_of(file.path)),
            has_dense_ids=feed.has_dense_ids,
        )
    events = _books(recording, feed, stream, in_base, source)
    is_intact = bool(evidence_of(file.path))
    variant = BookVariant.from_str(file.variant or "")
    if variant.every is None:
        return as_told(events, variant.depth, file, now=now, scratch=scratch, is_intact=is_intact)
    builder = builder_of(file, feed.continuity)
    return rebuilt(events, builder, file, now=now, scratch=scratch, is_intact=is_intact)


def _trades(
    recording: _Recording, feed: Feed, stream: Stream, source: Iterator[Frame]
) -> Iterator[RecordedTrade]:
    for frame in source:
        try:
            yield from feed.trades(frame, stream)
        except _NO_MESSAGE as error:
            raise recording.odd(frame, error) from error


def _books(
    recording: _Recording,
    feed: Feed,
    stream: Stream,
    in_base: ToBase,
    source: Iterator[Frame],
) -> Iterator[BookEvent]:
    for frame in source:
        try:
            for event in feed.books(frame, stream):
                bids = [(price, in_base(price, size)) for price, size in event.bids]
                asks = [(price, in_base(price, size)) for price, size in event.asks]
                yield replace(event, bids=bids, asks=asks)
        except _NO_MESSAGE as error:
            raise recording.odd(frame, error) from error
