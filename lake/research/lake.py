"""One lake in a script or a notebook: series, SQL, and what the commands do, without awaiting."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lake.domain.identifiers import DataType, Venue
from lake.domain.timeframe import TimeFrame
from lake.domain.times import parse_moment
from lake.research import checking, fetching, listing, reading
from lake.research.names import Chosen, Words, choose
from lake.research.wholeness import OnGap
from lake.storage.files import find_lake, place_of_lake
from lake.storage.frozen import snapshot_root
from lake.storage.lake import Storage
from lake.store.asking import Asking
from lake.store.missing import Window

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from lake.ingestion import Plan, Report
    from lake.warehouse.query import Parameters

Moment = str | date | datetime | None
"""Aware datetimes are converted, naive ones are UTC; a date is its midnight; text is ISO
(``2024-01-01``, ``2024-01-01T12:00+02:00``) or a span back from now (``7d``)."""


class Lake:
    """A lake, open. Use as ``with Lake("data") as lake``, or call :meth:`close`.

    Threads may share it. Answers are polars frames, ascending by ``ts``, times UTC without a
    zone.

    Args:
        path: The lake's folder. None: ``LAKE_DATA``, else the nearest folder upwards with a
            ``lake.json``, else ``data``.
        snapshot: The name of a frozen copy (``lake snapshot create``) to read instead.
        create: Make a lake there if there is none.

    Raises:
        NoLake: There is none, or no snapshot of that name.
        MigrationError: Its catalog is newer than this version.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        snapshot: str | None = None,
        create: bool = False,
    ) -> None:
        place = None if path is None else Path(path)
        find = place_of_lake if create else find_lake
        root = find(place, environment=os.environ, cwd=Path.cwd())
        if snapshot is not None:
            root = snapshot_root(root, snapshot)
        self._storage = Storage.open(root, create=create, read_only=snapshot is not None)
        self._asking = Asking(self._storage)

    @property
    def path(self) -> Path:
        """The lake's folder, absolute."""
        return self._storage.root

    def ohlcv(
        self,
        instruments: Words,
        timeframe: str | TimeFrame,
        start: Moment = None,
        end: Moment = None,
        *,
        columns: Sequence[str] | None = None,
        wide: bool = False,
        on_gap: str = "warn",
        venue: str | Venue | None = None,
    ) -> pl.DataFrame:
        """Candles of ``[start, end)``.

        Args:
            instruments: An id (``BTCUSDT.BINANCE``; the venue may be left out where one only
                has it), a pattern (``*USDT.BINANCE``), or a list of these.
            timeframe: ``1m``, ``1h``, ``1d`` ...
            start: First moment wanted; None for everything held.
            end: First moment not wanted any more; None for everything held.
            columns: Columns in the order wanted; None for all.
            wide: One row a moment, one column an instrument (``BTCUSDT.BINANCE``), or several
                where several *columns* are named (``close_BTCUSDT.BINANCE``); null where an
                instrument has no candle.
            on_gap: What to do where candles of the range are missing, for whatever reason:
                ``warn``, ``raise``, ``ignore``, or ``fill``: a flat candle at the close before,
                marked by the column ``is_filled`` (not in a wide frame).
            venue: Where, if *instruments* does not say it.

        Returns:
            One id: the table's own columns. A list or a pattern: ``venue`` and ``instrument``
            in front, one instrument after the other. Wide: ``ts`` and a column an instrument.

        Raises:
            SeriesNotFound: Nothing held fits; near names are in the message.
            IncompleteRange: Candles are missing, with ``on_gap="raise"``.
            InvalidRequest: A column does not exist, or the range is empty.
            StorageError: A file is damaged.
        """
        frame = TimeFrame.from_str(timeframe) if isinstance(timeframe, str) else timeframe
        chosen = self._choose(instruments, DataType.OHLCV, frame, venue)
        window = self._window(start, end)
        return reading.read(
            self._storage, chosen, window, columns, OnGap.from_str(on_gap), wide=wide
        )

    def trades(
        self,
        instruments: Words,
        start: Moment = None,
        end: Moment = None,
        *,
        columns: Sequence[str] | None = None,
        on_gap: str = "warn",
        venue: str | Venue | None = None,
    ) -> pl.DataFrame:
        """Trades of ``[start, end)``; arguments, answer and errors as of :meth:`ohlcv`.

        A gap is what nobody promises to be whole. Nothing can be filled.
        """
        chosen = self._choose(instruments, DataType.TRADES, None, venue)
        window = self._window(start, end)
        return reading.read(self._storage, chosen, window, columns, OnGap.from_str(on_gap))

    def orderbook(
        self,
        instruments: Words,
        start: Moment = None,
        end: Moment = None,
        *,
        columns: Sequence[str] | None = None,
        on_gap: str = "warn",
        venue: str | Venue | None = None,
    ) -> pl.DataFrame:
        """Order-book snapshots of ``[start, end)``; as :meth:`trades`."""
        chosen = self._choose(instruments, DataType.ORDERBOOK, None, venue)
        window = self._window(start, end)
        return reading.read(self._storage, chosen, window, columns, OnGap.from_str(on_gap))

    def funding_rates(
        self,
        instruments: Words,
        start: Moment = None,
        end: Moment = None,
        *,
        columns: Sequence[str] | None = None,
        wide: bool = False,
        on_gap: str = "warn",
        venue: str | Venue | None = None,
    ) -> pl.DataFrame:
        """Funding rates settled in ``[start, end)``; as :meth:`ohlcv`, but nothing is filled."""
        chosen = self._choose(instruments, DataType.FUNDING_RATES, None, venue)
        window = self._window(start, end)
        return reading.read(
            self._storage, chosen, window, columns, OnGap.from_str(on_gap), wide=wide
        )

    def scan_ohlcv(
        self,
        instruments: Words,
        timeframe: str | TimeFrame,
        start: Moment = None,
        end: Moment = None,
        *,
        columns: Sequence[str] | None = None,
        on_gap: str = "warn",
        venue: str | Venue | None = None,
    ) -> pl.LazyFrame:
        """As :meth:`ohlcv`, lazily: files are listed, and gaps told, when it is collected.

        Columns, and conditions on ``ts``, ``venue`` and ``instrument``, decide what is opened.
        """
        frame = TimeFrame.from_str(timeframe) if isinstance(timeframe, str) else timeframe
        chosen = self._choose(instruments, DataType.OHLCV, frame, venue)
        window = self._window(start, end)
        return reading.scan(self._storage, chosen, window, columns, OnGap.from_str(on_gap))

    def scan_trades(
        self,
        instruments: Words,
        start: Moment = None,
        end: Moment = None,
        *,
        columns: Sequence[str] | None = None,
        on_gap: str = "warn",
        venue: str | Venue | None = None,
    ) -> pl.LazyFrame:
        """As :meth:`trades`, lazily: for days of millions of trades."""
        chosen = self._choose(instruments, DataType.TRADES, None, venue)
        window = self._window(start, end)
        return reading.scan(self._storage, chosen, window, columns, OnGap.from_str(on_gap))

    def scan_orderbook(
        self,
        instruments: Words,
        start: Moment = None,
        end: Moment = None,
        *,
        columns: Sequence[str] | None = None,
        on_gap: str = "warn",
        venue: str | Venue | None = None,
    ) -> pl.LazyFrame:
        """As :meth:`orderbook`, lazily."""
        chosen = self._choose(instruments, DataType.ORDERBOOK, None, venue)
        window = self._window(start, end)
        return reading.scan(self._storage, chosen, window, columns, OnGap.from_str(on_gap))

    def scan_funding_rates(
        self,
        instruments: Words,
        start: Moment = None,
        end: Moment = None,
        *,
        columns: Sequence[str] | None = None,
        on_gap: str = "warn",
        venue: str | Venue | None = None,
    ) -> pl.LazyFrame:
        """As :meth:`funding_rates`, lazily."""
        chosen = self._choose(instruments, DataType.FUNDING_RATES, None, venue)
        window = self._window(start, end)
        return reading.scan(self._storage, chosen, window, columns, OnGap.from_str(on_gap))

    def sql(
        self, text: str, parameters: Parameters = None, **frames: pl.DataFrame | pl.LazyFrame
    ) -> pl.DataFrame:
        """The answer of DuckDB SQL over the lake, at most a second behind its newest commit.

        Args:
            text: With the views and macros of ``sql/``; it cannot write the lake.
            parameters: Values of ``$name`` (a mapping) or ``?`` (a sequence).
            frames: Polars frames that the SQL may use as tables of these names, for this once.
        """
        return self._asking.query(text, parameters, **frames)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """The prepared DuckDB connection: what :meth:`sql` uses, for one thread at a time.

        It belongs to the lake and is closed with it. The catalog in it is a copy, brought up to
        date by each call of this method or of :meth:`sql`.
        """
        return self._asking.connect()

    def plan(
        self,
        instruments: str | Sequence[str],
        timeframe: str | TimeFrame | Sequence[str | TimeFrame] | None = None,
        start: Moment = None,
        end: Moment = None,
        **options: Any,
    ) -> Plan:
        """What :meth:`backfill` with the same arguments would do; nothing is fetched for it."""
        window = self._window(start, end)
        return fetching.plan(self._storage, instruments, timeframe, window, options)

    def backfill(
        self,
        instruments: str | Sequence[str],
        timeframe: str | TimeFrame | Sequence[str | TimeFrame] | None = None,
        start: Moment = None,
        end: Moment = None,
        **options: Any,
    ) -> Report:
        """Fetch what of ``[start, end)`` is not held yet; what is held is not asked for again.

        Works in a notebook. Ctrl-C once stops cleanly, twice at once; the same call continues.

        Args:
            instruments: ``BTC/USDT``, ``BTCUSDT``, ``BTCUSDT.BINANCE`` or patterns.
            timeframe: For candles one or several lengths.
            start: First moment wanted.
            end: First moment not wanted any more; None for now.
            options: ``venue`` (where the instruments do not name it), ``data_type``
                (``"ohlcv"``), ``refetch``, and the settings of ``lake.toml`` (``base_url``,
                ``accept_base_url``, ``rate_share``, ``max_workers``).

        Returns:
            The jobs and how they ended: a failed one is in it, not raised.

        Raises:
            InvalidRequest: The venue lacks what is asked for.
            SourceError: The venue could not be asked what it has.
            ReadOnlyLake: The lake cannot be written.
        """
        window = self._window(start, end)
        return fetching.backfill(self._storage, instruments, timeframe, window, options)

    def update(
        self,
        instruments: str | Sequence[str] = (),
        *,
        venue: str | Venue | None = None,
        data_type: str | DataType | None = None,
        **settings: Any,
    ) -> Report:
        """Bring what is held up to now: tails, holes that can be filled, young candles.

        Args:
            instruments: Only these: ids, codes or patterns; none means all.
            venue: Only this venue's.
            data_type: Only this type.
            settings: As in :meth:`backfill`.
        """
        return fetching.update(self._storage, instruments, venue, data_type, settings)

    def gaps(
        self,
        instruments: Words | None = None,
        timeframe: str | TimeFrame | None = None,
        *,
        data_type: str | DataType = DataType.OHLCV,
        venue: str | Venue | None = None,
    ) -> pl.DataFrame:
        """Every run of missing rows with its reason.

        Returns:
            ``venue, instrument, timeframe, data_type, gap_start, gap_end`` (half-open),
            ``missing_count`` (null where nobody can know), ``reason, evidence``; by series and
            time.
        """
        return listing.gaps(self._storage, instruments, timeframe, data_type, venue)

    def check(
        self,
        *names: str,
        deep: bool = False,
        start: Moment = None,
        end: Moment = None,
        **values: Any,
    ) -> pl.DataFrame:
        """What quality checks find: those that the catalog answers, all (*deep*), or *names*.

        The checks are in ``docs/checks.md``; *values* are for their parameters, by name, and
        *start* and *end* (half-open) say which rows.

        Returns:
            ``check, severity, data_type, venue, instrument, timeframe, start_ts, end_ts, rows,
            detail``; no rows where all is well.
        """
        window = self._window(values.pop("start", None), values.pop("end", None))
        return checking.check(self._storage, names, window, values, deep=deep)

    def instruments(
        self,
        pattern: str = "*",
        *,
        venue: str | Venue | None = None,
        active_at: Moment = None,
    ) -> pl.DataFrame:
        """What can be traded, as the venues last said it.

        Args:
            pattern: Of codes or ids.
            venue: Only this venue's.
            active_at: Only those of which it is known that they traded at that moment: the
                universe of a backtest, with what was delisted since and without what came later.

        Returns:
            ``venue, instrument, symbol, native_id, kind, base, quote, settle, tick_size,
            lot_size, contract_size, active, listed_from, listed_to, evidence``.
        """
        window = self._window(active_at, None)
        return listing.instruments(self._storage, pattern, venue, window.start)

    def close(self) -> None:
        """Close every file of the lake. Closing twice does no harm."""
        self._asking.close()
        self._storage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _choose(
        self,
        words: Words,
        data_type: DataType,
        timeframe: TimeFrame | None,
        venue: str | Venue | None,
    ) -> Chosen:
        where = Venue(venue) if isinstance(venue, str) else venue
        return choose(self._storage, words, data_type, timeframe, where)

    def _window(self, start: Moment, end: Moment) -> Window:
        now = self._storage.clock()
        return Window(
            None if start is None else parse_moment(start, now=now),
            None if end is None else parse_moment(end, now=now),
        )
