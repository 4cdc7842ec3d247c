"""Reads checks from their SQL files: ours, and the user's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from lake.domain.checks import Check, Parameter, Reach, Severity
from lake.domain.identifiers import DataType
from lake.errors import InvalidRequest
from lake.sql_files import SqlFile, read_sql, sql_root

OWN_FOLDER = "checks"
_Kind = TypeVar("_Kind", Severity, Reach)
_KEYS = ("check", "version", "severity", "reads", "parameters", "returns", "blind to", "why")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PARAMETER = re.compile(r"\s*([a-z]\w*)\s*=\s*([^:]+?)\s*:\s*(.+)")


def known_checks(root: Path, more: Path | None = None) -> list[Check]:
    """The checks that can be run on the lake at *root*, by name.

    Args:
        root: The lake; a folder ``checks`` in it holds the user's own.
        more: Another folder of the user's.

    Raises:
        InvalidRequest: A file is no check, or two are of one name.
    """
    found = {path.stem: read_check(path) for path in _files(sql_root() / "checks")}
    own = [root / OWN_FOLDER, *([] if more is None else [more])]
    if more is not None and not more.is_dir():
        raise InvalidRequest(f"{more} is no folder, so there are no checks in it.")
    for folder in own:
        for path in _files(folder):
            check = read_check(path, is_own=False)
            if check.name in found:
                raise InvalidRequest(
                    f"{path} is called {check.name!r} like another check. Rename it."
                )
            found[check.name] = check
    return [found[name] for name in sorted(found)]


def _files(folder: Path) -> Sequence[Path]:
    return sorted(folder.glob("*.sql"))


def read_check(path: Path, *, is_own: bool = True) -> Check:
    """The check in the file at *path*.

    Raises:
        InvalidRequest: It cannot be read, or its header does not say what it must.
    """
    try:
        file = read_sql(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The check {path} cannot be read: {error}.") from error
    if lacking := [key for key in _KEYS if not file.header.get(key)]:
        raise InvalidRequest(
            f"The check {path} does not say {', '.join(lacking)}. Its first lines must be "
            "comments like `-- version: 1`; docs/checks.md has an example."
        )
    name = file.header["check"]
    if name != path.stem or not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"The check {path} calls itself {name!r}. It must be called as its file, in small "
            "letters, digits and underscores."
        )
    return Check(
        name=name,
        version=_version(path, file),
        severity=_one_of(path, "severity", file.header["severity"], Severity),
        reads=_reads(path, file.header["reads"]),
        reach=_one_of(path, "reach", file.header.get("reach", Reach.LAKE.value), Reach),
        parameters=_parameters(path, file.header["parameters"]),
        returns=file.header["returns"],
        blind_to=file.header["blind to"],
        why=file.header["why"],
        text=file.text,
        sha256=file.sha256,
        repair=_repair(path, file.header.get("repair", "none")),
        is_own=is_own,
    )


def _version(path: Path, file: SqlFile) -> int:
    text = file.header["version"]
    if not text.isdecimal() or int(text) < 1:
        raise InvalidRequest(f"The check {path} is of version {text!r}, which is no number from 1.")
    return int(text)


def _one_of(path: Path, key: str, text: str, kind: type[_Kind]) -> _Kind:
    try:
        return kind(text)
    except ValueError:
        words = ", ".join(each.value for each in kind)
        raise InvalidRequest(
            f"The check {path} says `{key}: {text}`. It must be one of: {words}."
        ) from None


def _reads(path: Path, text: str) -> tuple[str, ...]:
    words = tuple(each.strip() for each in text.split(","))
    types = {each.value for each in DataType}
    if words != ("catalog",) and not set(words) <= types:
        raise InvalidRequest(
            f"The check {path} says `reads: {text}`. It must be `catalog`, or some of: "
            f"{', '.join(sorted(types))}."
        )
    return words


def _repair(path: Path, text: str) -> str:
    if text not in ("refetch", "none"):
        raise InvalidRequest(
            f"The check {path} says `repair: {text}`. It must be `refetch` or `none`."
        )
    return text


def _parameters(path: Path, text: str) -> tuple[Parameter, ...]:
    if text.strip().rstrip(".") == "none":
        return ()
    found = []
    for part in text.split(";"):
        matched = _PARAMETER.fullmatch(part)
        if matched is None:
            raise InvalidRequest(
                f"The check {path} says `parameters: {part.strip()}`. Write `name = default: "
                "meaning`, with semicolons between several, or `none`."
            )
        found.append(Parameter(*matched.groups()))
    return tuple(found)
