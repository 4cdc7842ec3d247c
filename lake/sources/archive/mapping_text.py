"""Reads a mapping as users write it: on the command line, or in a small TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lake.domain.identifiers import DataType, Venue
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest
from lake.sources.archive.mapping import SIDES, Mapping, Unit
from lake.sources.archive.moments import zone_of

_TEXTS = (
    "venue",
    "instrument",
    "type",
    "timeframe",
    "timezone",
    "unit",
    "time_format",
    "delimiter",
)
_TABLES = ("columns", "constants", "sides")
_KEYS = (*_TEXTS, *_TABLES, "ignore", "header")
_SIDES = ("buy", "sell")
_COMMA = ","
_DELIMITERS = {"tab": "\t", "\\t": "\t"}


@dataclass(frozen=True, slots=True)
class MappingFile:
    """How to read columns, and perhaps what the files are of."""

    mapping: Mapping
    venue: Venue | None = None
    instrument: str | None = None
    data_type: DataType | None = None
    timeframe: TimeFrame | None = None


def pairs_of(text: str | None, *, option: str) -> dict[str, str]:
    """The pairs of ``ours=theirs,other``; a name alone stands for both.

    Raises:
        InvalidRequest: Something is named twice, or not at all.
    """
    found: dict[str, str] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        ours, sign, theirs = (each.strip() for each in part.partition("="))
        if not ours or (sign and not theirs) or ours in found:
            raise InvalidRequest(
                f"{option} {text!r}: {part.strip()!r} is no pair, or comes twice. Write "
                "NAME=VALUE,NAME=VALUE, for example --map ts=time,price=px."
            )
        found[ours] = theirs or ours
    return found


def names_of(text: str | None) -> frozenset[str]:
    """The names of ``a,b``."""
    return frozenset(each.strip() for each in (text or "").split(",") if each.strip())


def mapping_of(
    columns: dict[str, str],
    *,
    constants: dict[str, str] | None = None,
    ignore: Iterable[str] = (),
    sides: dict[str, str] | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
    time_format: str | None = None,
    timezone: str | None = None,
    unit: Unit | None = None,
) -> Mapping:
    """A mapping of what was said.

    Raises:
        InvalidRequest: The zone, the delimiter or a side is none.
    """
    zone_of(timezone)
    chosen = _DELIMITERS.get(delimiter or _COMMA, delimiter or _COMMA)
    if len(chosen) != 1 or chosen in '"\r\n':
        raise InvalidRequest(f"{delimiter!r} is not a delimiter: write one character, or tab.")
    words = {word.lower(): side.lower() for word, side in (sides or {}).items()}
    if odd := sorted(set(words.values()).difference(_SIDES)):
        raise InvalidRequest(
            f"{', '.join(odd)}: no side. Write WORD=buy,WORD=sell, for example 1=buy,2=sell."
        )
    if twice := sorted(columns.keys() & (constants or {}).keys()):
        raise InvalidRequest(f"{', '.join(twice)}: both a column of the file and a constant.")
    return Mapping(
        columns=columns,
        constants=constants or {},
        ignored=frozenset(ignore),
        header=header,
        delimiter=chosen,
        time_format=time_format,
        timezone=timezone,
        sides=words or SIDES,
        unit=unit,
    )


def read_mapping(path: Path) -> MappingFile:
    """What the TOML file at *path* says.

    Raises:
        InvalidRequest: It is not there, no TOML, or has keys that mean nothing.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidRequest(f"{path}: no mapping can be read from it ({error}).") from error
    if unknown := sorted(found.keys() - set(_KEYS)):
        raise InvalidRequest(
            f"{path}: {', '.join(unknown)}: no key of a mapping. Its keys are {', '.join(_KEYS)}."
        )
    _require_types(path, found)
    texts: dict[str, Any] = {name: found.get(name) for name in _TEXTS}
    tables = {
        name: {key: str(value) for key, value in found.get(name, {}).items()} for name in _TABLES
    }
    mapping = mapping_of(
        tables["columns"],
        constants=tables["constants"],
        ignore=[str(each) for each in found.get("ignore", [])],
        sides=tables["sides"],
        header=found.get("header"),
        delimiter=texts["delimiter"],
        time_format=texts["time_format"],
        timezone=texts["timezone"],
        unit=None if texts["unit"] is None else Unit.from_str(texts["unit"]),
    )
    return MappingFile(
        mapping,
        None if texts["venue"] is None else Venue(texts["venue"]),
        texts["instrument"],
        None if texts["type"] is None else DataType.from_str(texts["type"]),
        None if texts["timeframe"] is None else TimeFrame.from_str(texts["timeframe"]),
    )


def joined(file: MappingFile, said: Mapping) -> MappingFile:
    """*file* with what the command line said on top of it."""
    ours = file.mapping
    mapping = replace(
        ours,
        columns={**ours.columns, **said.columns},
        constants={**ours.constants, **said.constants},
        ignored=ours.ignored | said.ignored,
        header=ours.header if said.header is None else said.header,
        delimiter=ours.delimiter if said.delimiter == _COMMA else said.delimiter,
        time_format=said.time_format or ours.time_format,
        timezone=said.timezone or ours.timezone,
        sides=ours.sides if said.sides == SIDES else said.sides,
        unit=said.unit or ours.unit,
    )
    return replace(file, mapping=mapping)


def _require_types(path: Path, found: dict[str, Any]) -> None:
    kinds: dict[str, type] = {
        **dict.fromkeys(_TEXTS, str),
        **dict.fromkeys(_TABLES, dict),
        "ignore": list,
        "header": bool,
    }
    for name, value in found.items():
        if not isinstance(value, kinds[name]):
            raise InvalidRequest(f"{path}: {name} has a value of the wrong kind ({value!r}).")
        parts = value.values() if isinstance(value, dict) else ()
        if any(isinstance(each, dict | list) for each in parts):
            raise InvalidRequest(f"{path}: a value in {name} is no name and no number.")
