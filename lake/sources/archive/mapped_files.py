"""Reads any CSV, JSON, Parquet or Feather file whose columns the user maps to ours.

Every column of the file must be mapped or ignored by name. Its holes mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lake.domain.identifiers import DataType, InstrumentId, Venue
from lake.errors import InvalidRequest
from lake.sources.archive.format import OTHERS, ArchiveFile, Hints
from lake.sources.archive.instruments import instrument_of_symbol, symbol_of
from lake.sources.archive.mapped_reader import RecognisedByMapping, mapped_file
from lake.sources.archive.mapping import Mapping
from lake.sources.archive.tables import kind_of, names_of


class MappedFiles(RecognisedByMapping):
    """The reader. It keeps nothing between files."""

    name = "Any file, with --map or --mapping"
    tag = OTHERS
    files = "*.csv, *.json, *.jsonl (also .gz, or in a .zip), *.parquet, *.feather"
    data_types = (DataType.OHLCV, DataType.TRADES, DataType.FUNDING_RATES)
    venues: tuple[Venue, ...] = ()
    suffixes = (".csv", ".csv.gz", ".json", ".json.gz", ".jsonl", ".parquet", ".feather")

    def recognise(self, path: Path, hints: Hints) -> Sequence[ArchiveFile] | None:
        if hints.mapping is None:
            return None
        venue, data_type = _venue(path, hints), hints.data_type
        if hints.instrument is None or data_type is None:
            raise InvalidRequest(
                f"{path.name}: a mapped file does not say what it is of. Say --venue, "
                "--instrument and --type, for example --venue KRAKEN --instrument BTC/USD "
                "--type trades."
            )
        if data_type is DataType.OHLCV and hints.timeframe is None:
            raise InvalidRequest(f"{path.name}: say how long its candles are: --timeframe 1m.")
        mapping = replace(hints.mapping, timezone=hints.timezone or hints.mapping.timezone)
        # Before the file is looked at: what is wrong with it is easier to mend.
        mapping.require_for(data_type)
        instrument = instrument_of_symbol(symbol_of(hints.instrument), venue)
        mapping = _fitted(path, mapping)
        timeframe = hints.timeframe if data_type is DataType.OHLCV else None
        return mapped_file(
            self, path, mapping, instrument, data_type, hints=hints, timeframe=timeframe
        )


def _venue(path: Path, hints: Hints) -> Venue:
    named = None
    if hints.instrument and "." in hints.instrument and "/" not in hints.instrument:
        named = InstrumentId.from_str(hints.instrument).venue
    if named is not None and hints.venue not in (None, named):
        raise InvalidRequest(f"--instrument is of {named}, but --venue says {hints.venue}.")
    found = hints.venue or named
    if found is None:
        raise InvalidRequest(
            f"{path.name}: a mapped file does not say of which exchange it is. Say --venue."
        )
    return found


def _fitted(path: Path, mapping: Mapping) -> Mapping:
    """*mapping* with the names that the columns of the file at *path* have.

    Raises:
        InvalidRequest: It names columns that are not there, or leaves some unnamed.
    """
    names = names_of(path, kind_of(path), mapping)
    columns = {ours: _column(theirs, names) for ours, theirs in mapping.columns.items()}
    ignored = {_column(name, names) for name in mapping.ignored}
    if absent := sorted({*columns.values()}.difference(names)):
        raise InvalidRequest(
            f"{path.name} has no column {', '.join(map(repr, absent))}. It has "
            f"{', '.join(map(repr, names))}."
        )
    left = [name for name in names if name not in columns.values() and name not in ignored]
    if left:
        # A column may have no name at all: pandas writes its index so.
        ways = [name or str(names.index(name) + 1) for name in left]
        raise InvalidRequest(
            f"{path.name} has columns that the mapping does not name: "
            f"{', '.join(map(repr, left))}. Map them, or leave them out on purpose: "
            f"--ignore {','.join(ways)}"
        )
    return replace(mapping, columns=columns, ignored=frozenset(ignored))


def _column(name: str, names: Sequence[str]) -> str:
    """A column by its name, or by its number from 1 where none is called so."""
    if name not in names and name.isdecimal() and 0 < int(name) <= len(names):
        return names[int(name) - 1]
    return name
