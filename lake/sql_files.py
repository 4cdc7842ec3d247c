"""Where the versioned SQL files lie, and how their ``-- key: value`` headers are read."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lake.errors import LakeError

_HEADER = re.compile(r"-- ?([a-z]+(?: to)?): *(.*)")
_CONTINUED = re.compile(r"-- {2,}(.*)")
_PACKAGE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One file of ``sql/``: its name without ending, its text, and its header."""

    name: str
    text: str
    header: dict[str, str]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def sql_root() -> Path:
    """``sql/`` of the checkout, or its copy inside an installed wheel (``lake/_sql``)."""
    for candidate in (_PACKAGE / "_sql", _PACKAGE.parent / "sql"):
        if (candidate / "migrations").is_dir():
            return candidate
    raise LakeError(
        f"The SQL files of the lake are not beside {_PACKAGE}. Install the package again."
    )


@cache
def sql_files(folder: str) -> tuple[SqlFile, ...]:
    """Every ``.sql`` file of ``sql/<folder>``, by name."""
    return tuple(read_sql(path) for path in sorted((sql_root() / folder).glob("*.sql")))


def sql_file(folder: str, name: str) -> SqlFile:
    """The file ``sql/<folder>/<name>.sql``."""
    return read_sql(sql_root() / folder / f"{name}.sql")


def read_sql(path: Path) -> SqlFile:
    """The file at *path*, of whoever.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is no text.
    """
    text = path.read_text(encoding="utf-8")
    header: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        if more := _CONTINUED.fullmatch(line.rstrip()):
            if key:
                header[key] += f" {more[1]}"
        elif found := _HEADER.fullmatch(line.rstrip()):
            key = found[1]
            header[key] = found[2]
    return SqlFile(path.stem, text, header)
