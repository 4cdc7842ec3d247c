"""Converts blocks of a foreign file's columns into those that the row checks take.

What cannot be read is rejected or becomes what the checks reject, never null where null would
mean that the source does not say. It checks nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.domain.identifiers import DataType, InstrumentKind
from lake.domain.rows import Rejected
from lake.domain.times import from_us
from lake.sources.archive.format import ArchiveFile
from lake.sources.archive.mapping import TIMES, Mapping, Unit, UnitKind
from lake.sources.archive.moments import Moments, read_moments, zone_of
from lake.sources.archive.tables import RawBlock
from lake.sources.units_of_time import NO_TIME, Array

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
# What 64 bits hold, or nearly all of it: Bitget's ids have 19 digits.
_WHOLE = r"^(\d{1,18}|[1-8]\d{18}|9[01]\d{17})(\.0*)?$"
_UNCLEAR = "its local time came twice or never: clocks were changed then"
_OTHER = "is of another instrument or kind"
_INTEGERS = frozenset({"trade_count", "first_trade_id", "last_trade_id"})
_REQUIRED = frozenset(
    {"open", "high", "low", "close", "volume", "price", "quantity", "funding_rate"}
)
_AMOUNTS = ("volume", "quantity", "taker_buy_volume")
_TRUE, _FALSE = ("true", "1", "t"), ("false", "0", "f")
_NOTHING = ("", "none", "null", "nan")
_UNREADABLE = -1


@dataclass(frozen=True, slots=True)
class Converted:
    """A block as the checks take it.

    Attributes:
        table: Columns of the checks; ``ts`` (``settled_at`` of funding) as timestamps.
        raw: The text of a row by its number.
        rejected: Rows that were no rows at all.
        is_zoneless: Whether some time said no zone.
    """

    table: pa.Table
    raw: Callable[[int], str]
    rejected: tuple[Rejected, ...] = ()
    is_zoneless: bool = False

    @property
    def ts_us(self) -> Array:
        """The times of its rows; ``NO_TIME`` where they have none."""
        name = "settled_at" if "settled_at" in self.table.column_names else "ts"
        moments: Array = self.table[name].cast(pa.int64()).fill_null(NO_TIME).to_numpy()
        return moments

    def taken(self, rows: Array) -> Converted:
        """Only *rows* of it, without those that it rejected."""
        whole, chosen = self.raw, rows.tolist()
        table = self.table.take(pa.array(rows, pa.int64()))
        return Converted(table, lambda row: whole(chosen[row]), (), self.is_zoneless)


@dataclass(slots=True)
class Converter:
    """Converts the blocks of one file, one after the other."""

    file: ArchiveFile
    mapping: Mapping
    _ids: str | None = field(default=None, init=False)

    def convert(self, block: RawBlock) -> Converted:
        """The columns of *block* as the checks take them."""
        block = self._picked(block)
        whole = block.table.combine_chunks()
        moments = self._moments(whole, "ts")
        reasons = self._reasons(whole, moments)
        rejected = list(block.rejected)
        for row in sorted(reasons):
            us = int(moments.us[row])
            ts = None if us == NO_TIME else from_us(us)
            rejected.append(Rejected(ts, reasons[row], block.raw(row)))
        keep = np.setdiff1d(np.arange(whole.num_rows), np.array(sorted(reasons), dtype=np.int64))
        table = whole.take(pa.array(keep, pa.int64())) if reasons else whole
        chosen = keep.tolist()
        columns = self._columns(table, moments.us[keep])
        return Converted(
            pa.table(columns),
            lambda row: block.raw(chosen[row]),
            tuple(rejected),
            moments.is_zoneless,
        )

    def _picked(self, block: RawBlock) -> RawBlock:
        """*block* without the rows and the bad lines of other series."""
        for name, value in self.mapping.picked.items():
            words = pc.utf8_trim_whitespace(block.table[name].cast(pa.string()))
            rows = np.flatnonzero(np.asarray(pc.fill_null(pc.equal(words, value), False)))
            table, raw = block.table.take(pa.array(rows, pa.int64())), block.raw
            at = block.table.column_names.index(name)
            bad = tuple(each for each in block.rejected if self._is_ours(each.raw, at, value))
            block = RawBlock(table, _chosen(raw, rows.tolist()), bad)
        return block

    def _is_ours(self, line: str, at: int, value: str) -> bool:
        """Whether *line*, which is no row, is to be told with this series of the file."""
        told, foreign = self.mapping.field_of(line, at), self.mapping.foreign
        return told == value or (foreign is not None and told not in foreign)

    def _reasons(self, table: pa.Table, moments: Moments) -> dict[int, str]:
        """Why rows are not of this file's series, or have no one moment."""
        reasons = dict.fromkeys(np.flatnonzero(moments.unclear).tolist(), _UNCLEAR)
        for name, value in self.mapping.only.items():
            text = pc.utf8_trim_whitespace(table[name].cast(pa.string()))
            other = np.asarray(pc.fill_null(pc.not_equal(text, value), True))
            reasons |= dict.fromkeys(np.flatnonzero(other).tolist(), _OTHER)
        return reasons

    def _columns(self, table: pa.Table, ts: Array) -> dict[str, Any]:
        """The columns of the checks, of rows whose moments are *ts*."""
        is_funding = self.file.series.data_type is DataType.FUNDING_RATES
        columns: dict[str, Any] = {"settled_at" if is_funding else "ts": _timestamps(ts)}
        count = len(ts)
        for name in {**self.mapping.columns, **self.mapping.constants}:
            if name == "ts":
                continue
            source = self._source(table, name, count)
            if name in TIMES:
                columns[name] = _timestamps(self._moments(table, name).us)
            elif name == "side":
                columns["taker"] = self._sides(source)
            elif name == "is_buyer_maker":
                columns["taker"] = _takers(_text(source), _FALSE, _TRUE)
            elif name == "trade_id":
                columns |= self._identity(source)
            elif name in _INTEGERS:
                columns[name] = _integers(source)
            else:
                columns[name] = _doubles(source, is_required=name in _REQUIRED)
        if self.mapping.has_signed_quantity:
            columns["taker"] = pc.sign(columns["quantity"]).cast(pa.int8(), safe=False)
            columns["quantity"] = pc.abs(columns["quantity"])
        if self.file.series.data_type is DataType.TRADES:
            columns.setdefault("taker", pa.nulls(count, pa.int8()))
        if self.mapping.traded:
            self._leave_out_untold(columns, table)
        return self._in_base(columns)

    def _leave_out_untold(self, columns: dict[str, Any], table: pa.Table) -> None:
        """A volume that is 0 though something traded is none; a quote volume is not told."""
        traded = pc.greater(_doubles(table[self.mapping.traded], is_required=True), 0)
        instead = {"volume": float("nan"), "quote_volume": None}
        for name, value in instead.items():
            if name in columns:
                untold = pc.and_(pc.fill_null(traded, False), pc.equal(columns[name], 0))
                nothing = pa.scalar(value, pa.float64())
                columns[name] = pc.if_else(pc.fill_null(untold, False), nothing, columns[name])

    def _source(self, table: pa.Table, name: str, count: int) -> Any:
        if name in self.mapping.constants:
            return pa.chunked_array([pa.array([self.mapping.constants[name]] * count, pa.string())])
        return _plain(table[self.mapping.columns[name]])

    def _moments(self, table: pa.Table, name: str) -> Moments:
        column = table[self.mapping.columns[name]]
        since = self.mapping.since_us
        if since is None:
            return read_moments(column, zone_of(self.mapping.timezone), self.mapping.time_format)
        # Milliseconds of a day are far too small to be told from other units.
        of_day = np.asarray(_doubles(column, is_required=True).to_numpy(), dtype=np.float64)
        fine = (of_day >= 0) & (of_day < 86_400_000)
        us = np.full(len(of_day), NO_TIME, dtype=np.int64)
        us[fine] = since + np.round(of_day[fine] * 1_000).astype(np.int64)
        return Moments(us, np.zeros(len(us), dtype=bool), False)

    def _sides(self, source: Any) -> Any:
        sides = self.mapping.sides.items()
        bought = tuple(word for word, side in sides if side == "buy")
        sold = tuple(word for word, side in sides if side == "sell")
        untold = pa.array([word for word, side in sides if not side], pa.string())
        words = _text(source)
        if len(untold):
            is_untold = pc.is_in(pc.utf8_lower(words), untold)
            words = pc.if_else(is_untold, pa.scalar(None, pa.string()), words)
        return _takers(words, bought, sold)

    def _identity(self, source: Any) -> dict[str, Any]:
        """``trade_id`` where ids are numbers, else ``trade_ref``; nothing where there are none."""
        if self.file.variant is None or self.file.variant.endswith("/derived"):
            return {}
        words = _text(source)
        whole = pc.fill_null(pc.match_substring_regex(words, _WHOLE), False)
        if self._ids is None and len(words):
            self._ids = "trade_id" if pc.any(whole).as_py() else "trade_ref"
        if self._ids == "trade_ref":
            return {"trade_ref": words}
        return {"trade_id": pc.fill_null(_whole_numbers(words), _UNREADABLE)}

    def _in_base(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Amounts in the base asset."""
        unit = self.mapping.unit or Unit()
        if unit.kind is UnitKind.BASE:
            return columns
        is_inverse = self.file.instrument.kind is InstrumentKind.INVERSE
        for name in _AMOUNTS:
            if name in columns:
                amount = columns[name]
                if unit.kind is UnitKind.CONTRACTS:
                    amount = pc.multiply(amount, unit.size)
                if unit.kind is UnitKind.QUOTE or is_inverse:
                    amount = pc.divide(amount, columns["price"])
                columns[name] = amount
        return columns


def has_ids(first: pa.Table, mapping: Mapping) -> bool:
    """Whether the rows of *first* have ids of the venue's."""
    if "trade_id" in mapping.constants:
        return True
    name = mapping.columns.get("trade_id")
    if name is None or name not in first.column_names:
        return False
    words = _text(_plain(first[name]))
    return bool(words.null_count < len(words))


def _chosen(raw: Callable[[int], str], rows: list[int]) -> Callable[[int], str]:
    return lambda row: raw(rows[row])


def _plain(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    return column


def _timestamps(us: Array) -> Any:
    return pa.chunked_array([pa.array(us, mask=us == NO_TIME).cast(pa.timestamp("us"))])


def _text(column: Any) -> Any:
    """*column* as trimmed text; what is empty, or a word for nothing, is null."""
    words = pc.utf8_trim_whitespace(column.cast(pa.string()))
    nothing = pc.is_in(pc.utf8_lower(words), pa.array(_NOTHING))
    return pc.if_else(nothing, pa.scalar(None, pa.string()), words)


def _takers(words: Any, bought: tuple[str, ...], sold: tuple[str, ...]) -> Any:
    """1 bought, -1 sold, null unknown, 0 a word that means neither."""
    lower = pc.utf8_lower(words)
    is_sold = pc.is_in(lower, pa.array(sold, pa.string()))
    taker = pc.if_else(
        pc.is_in(lower, pa.array(bought, pa.string())), 1, pc.if_else(is_sold, -1, 0)
    )
    return pc.if_else(pc.is_null(words), pa.scalar(None, pa.int64()), taker).cast(pa.int8())


def _doubles(column: Any, *, is_required: bool) -> Any:
    """Numbers; what cannot be read is NaN, which no check lets pass; what is empty is null."""
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    words = pc.utf8_trim_whitespace(column.cast(pa.string()))
    fine = pc.match_substring_regex(words, _NUMBER)
    numbers = pc.cast(pc.if_else(fine, words, pa.scalar(None, pa.string())), pa.float64())
    if is_required:
        return numbers
    empty = pc.fill_null(pc.equal(pc.utf8_length(words), 0), True)
    known = pc.fill_null(numbers, float("nan"))
    return pc.if_else(empty, pa.scalar(None, pa.float64()), known)


def _integers(column: Any) -> Any:
    """Whole numbers; what is none is -1, which no check lets pass; what is empty is null."""
    words = _text(column)
    numbers = pc.fill_null(_whole_numbers(words), _UNREADABLE)
    return pc.if_else(pc.is_null(words), pa.scalar(None, pa.int64()), numbers)


def _whole_numbers(words: Any) -> Any:
    """Whole numbers of text, null where it is none; a spreadsheet's ``12.0`` is one."""
    whole = pc.match_substring_regex(words, _WHOLE)
    digits = pc.if_else(whole, words, pa.scalar(None, pa.string()))
    return pc.cast(pc.replace_substring_regex(digits, r"\..*$", ""), pa.int64())
