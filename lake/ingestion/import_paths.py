"""Finds the files that an import was asked for: named ones, and archives in folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from lake.errors import InvalidRequest
from lake.sources.archive import SUFFIXES


@dataclass(frozen=True, slots=True)
class Found:
    """A file, and whether it was named itself: then it has to be an archive."""

    path: Path
    is_named: bool


def find(paths: Iterable[str | Path]) -> list[Found]:
    """The files to import, each once, in the order of their paths."""
    named: dict[Path, bool] = {}
    for each in paths:
        path = Path(each)
        if path.is_dir():
            closed: list[OSError] = []
            inside = [
                file
                for folder, _, names in os.walk(path, onerror=closed.append)
                for name in names
                if _is_candidate(file := Path(folder) / name)
            ]
            for file in inside:
                named.setdefault(file, False)
            # A folder that cannot be read is told of as a file that cannot be: it is in the way.
            for error in closed:
                named[Path(error.filename)] = True
            if not inside and not closed:
                raise InvalidRequest(
                    f"There is no archive ({', '.join(SUFFIXES)}) below {path.absolute()}."
                )
        elif path.exists():
            named[path] = True
        else:
            raise InvalidRequest(f"{path.absolute()} does not exist. Nothing was imported.")
    return [Found(path, is_named) for path, is_named in sorted(named.items())]


def _is_candidate(path: Path) -> bool:
    name = path.name.lower()
    is_archive = any(fnmatchcase(name, f"*{suffix}") for suffix in SUFFIXES)
    return is_archive and not name.startswith(".") and path.is_file()
