"""Reads Binance's trade archives: aggTrades and trades of spot, USD-M and COIN-M, by day or month.

With or without a header line, times in ms or us. COIN-M counts quantities in contracts. The rows
themselves are read in :mod:`lake.sources.archive.trade_csv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.identifiers import DataType, Instrument, Series
from lake.domain.variants import IdScheme, TradeKind, TradesVariant
from lake.errors import SourceError
from lake.sources.archive.binance_names import COINM, VENUES, instrument_of, require_type
from lake.sources.archive.binance_rows_file import (
    FUTURES_ONLY,
    SPOT_ONLY,
    Layout,
    layout_of,
    named_rows,
    require_utc,
)
from lake.sources.archive.binance_venue import venue_of
from lake.sources.archive.claims import promised_claim
from lake.sources.archive.container import open_container, refused
from lake.sources.archive.format import VENDOR, ArchiveFile, Hints, Streamed
from lake.sources.archive.spool import MEMORY_ROWS, TABLE_ROWS, Spool
from lake.sources.archive.trade_csv import Tally, TradeCsv, lots, spooled

_F64, _I64, _BOOL = pa.float64(), pa.int64(), pa.bool_()
_AGGREGATES = {
    "trade_id": _I64,
    "price": _F64,
    "quantity": _F64,
    "first_trade_id": _I64,
    "last_trade_id": _I64,
    "ts": _I64,
    "is_buyer_maker": _BOOL,
}
_AGGREGATE_HEADER = (
    "agg_trade_id",
    "price",
    "quantity",
    "first_trade_id",
    "last_trade_id",
    "transact_time",
    "is_buyer_maker",
)
_SINGLES = {
    "trade_id": _I64,
    "price": _F64,
    "quantity": _F64,
    "worth": _F64,
    "ts": _I64,
    "is_buyer_maker": _BOOL,
}
# Futures' quote amount, or COIN-M's base amount.
_WORTHS = ("quote_qty", "base_qty")
_BEST = "is_best_match"
_LAYOUTS = {
    "aggTrades": (
        Layout(_AGGREGATES, (_AGGREGATE_HEADER,), FUTURES_ONLY),
        Layout(_AGGREGATES, ((*_AGGREGATE_HEADER, _BEST),), SPOT_ONLY, ignored=_BEST),
    ),
    "trades": (
        Layout(
            _SINGLES,
            tuple(("id", "price", "qty", worth, "time", "is_buyer_maker") for worth in _WORTHS),
            FUTURES_ONLY,
        ),
        Layout(
            _SINGLES,
            (("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", _BEST),),
            SPOT_ONLY,
            ignored=_BEST,
        ),
    ),
}
_KINDS = {"aggTrades": TradeKind.AGGREGATE, "trades": TradeKind.SINGLE}
# A day of the busiest market is 1.5 GB, a month ten times that.
_MOST_BYTES = 64 << 30
# COIN-M's own base amount has eight decimals, fewer digits the smaller it is.
_WORTH_STEP = 1e-8
_WORTH_TOLERANCE = 1e-4


class BinanceTrades:
    """The reader. It keeps nothing between files.

    Args:
        memory_rows: Trades of a file that are kept in memory; of more all go to the disk.
        table_rows: Of those, how many are handed on at a time.
    """

    name = "Binance trade archives"
    tag = VENDOR
    files = "SYMBOL-aggTrades-YYYY-MM[-DD].zip, SYMBOL-trades-YYYY-MM[-DD].zip, .csv"
    data_types = (DataType.TRADES,)
    venues = VENUES
    suffixes = (".zip", ".csv", ".csv.gz")

    def __init__(self, *, memory_rows: int = MEMORY_ROWS, table_rows: int = TABLE_ROWS) -> None:
        self._bounds = {"memory_rows": memory_rows, "table_rows": table_rows}

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        found = named_rows(path, tuple(_KINDS))
        if found is None:
            return None
        named, head = found
        layout = layout_of(path, head, _LAYOUTS[named.kind])
        require_type(path, DataType.TRADES, hints.data_type)
        require_utc(path, hints)
        venue = venue_of(path, named.symbol, hints, shown=layout.venues)
        if venue not in layout.venues:
            raise refused(
                path,
                f"does not look like {venue}: its lines have {len(layout.header)} fields",
            )
        instrument = instrument_of(named.symbol, venue, hints.instrument)
        series = Series(DataType.TRADES, instrument.id)
        variant = TradesVariant(_KINDS[named.kind], IdScheme.VENUE)
        return (ArchiveFile(path, self, series, instrument, named.promise, str(variant)),)

    def stream(self, file: ArchiveFile, *, now: datetime, scratch: Path) -> Streamed:
        assert file.promise is not None
        with open_container(file.path) as container:
            head = container.head()
            kind = "aggTrades" if file.variant == _variant("aggTrades") else "trades"
            layout = layout_of(file.path, head, _LAYOUTS[kind])
            if layout.is_empty(head):
                container.require_intact(_MOST_BYTES)
                spool, tally = Spool(file.series, scratch), Tally()
                spool.finish()
            else:
                converting = _Converting(file.instrument)
                csv = TradeCsv(
                    container, layout.columns, file.promise, now, _MOST_BYTES, converting.convert
                )
                spool, tally = spooled(csv, file.series, scratch, **self._bounds)
                converting.require_fit(file)
            evidence = container.evidence
        told = promised_claim(file.promise, spool.last_us, now, evidence, what="trades")
        remarks = [told.remark, tally.remark(spool.rows)]
        return Streamed(
            file.promise,
            spool.rows,
            len(tally.rejected),
            lots(file.series, file.promise, spool, told.claims, tally.rejected),
            bool(evidence),
            "; ".join(each for each in remarks if each),
        )


def _variant(kind: str) -> str:
    return str(TradesVariant(_KINDS[kind], IdScheme.VENUE))


@dataclass(slots=True)
class _Converting:
    """Gives columns our units, and compares COIN-M's contract size with what a file says.

    A contract is worth ``contract_size`` of the quote asset: contracts times that over the
    price is the base amount (Binance COIN-M contract specifications). ``trades`` have the base
    amount beside it, rounded; ``aggTrades`` have not.
    """

    instrument: Instrument
    compared: int = 0
    fitting: int = 0

    def convert(self, table: pa.Table) -> pa.Table:
        """The same rows; quantities in the base asset."""
        if self.instrument.venue == COINM:
            base = pc.divide(
                pc.multiply(table["quantity"], self.instrument.contract_size), table["price"]
            )
            if "worth" in table.column_names:
                self._compare(base, table["worth"])
            at = table.column_names.index("quantity")
            table = table.set_column(at, "quantity", base)
        return table.drop_columns(["worth"]) if "worth" in table.column_names else table

    def require_fit(self, file: ArchiveFile) -> None:
        """
        Raises:
            SourceError: The contract size does not fit the file's own base amounts.
        """
        if 2 * self.fitting >= self.compared:
            return
        raise SourceError(
            f"{file.path.name}: contracts of {self.instrument.contract_size:g} "
            f"{self.instrument.quote} do not fit its base amounts, so its quantities cannot be "
            "computed. Backfill the series instead: the exchange names the contract size.",
            retryable=False,
        )

    def _compare(self, base: pa.ChunkedArray, told: pa.ChunkedArray) -> None:
        ours = np.asarray(base.to_numpy(), dtype=np.float64)
        theirs = np.asarray(told.to_numpy(), dtype=np.float64)
        readable = np.isfinite(ours) & np.isfinite(theirs)
        off = np.abs(ours[readable] - theirs[readable])
        self.compared += int(readable.sum())
        self.fitting += int(np.sum(off <= theirs[readable] * _WORTH_TOLERANCE + _WORTH_STEP))
