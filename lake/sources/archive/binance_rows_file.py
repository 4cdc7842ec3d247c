"""How the lines of Binance's trades and funding files are laid out, and which file has which.

The header is compared name by name: a column that is not known is refused, not skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from lake.domain.identifiers import Venue
from lake.errors import InvalidRequest
from lake.sources.archive.binance_names import (
    COINM,
    SPOT,
    USDM,
    RowsName,
    parse_name,
    parse_rows_name,
)
from lake.sources.archive.container import peek, refused
from lake.sources.archive.csv_blocks import CsvColumns, has_header
from lake.sources.archive.format import Hints

SPOT_ONLY: tuple[Venue, ...] = (SPOT,)
FUTURES_ONLY: tuple[Venue, ...] = (USDM, COINM)
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one kind of file.

    Attributes:
        types: Our names of those that are used, in the file's order, and their types.
        headers: What a header line may call all columns, in the file's order.
        venues: Whose files have it.
        ignored: The column at the end that is not used.
    """

    types: dict[str, pa.DataType]
    headers: tuple[tuple[str, ...], ...]
    venues: tuple[Venue, ...]
    ignored: str = field(default="")

    @property
    def header(self) -> tuple[str, ...]:
        """What its columns are called."""
        return self.headers[0]

    @property
    def columns(self) -> CsvColumns:
        """How it is read."""
        names = (*self.types, self.ignored) if self.ignored else tuple(self.types)
        time = next(name for name in ("ts", "settled_at") if name in self.types)
        return CsvColumns(names, self.types, time=time)

    def is_empty(self, head: bytes) -> bool:
        """Whether a file that begins with *head* has no line beyond a header."""
        lines = head.removeprefix(_BOM).strip().split(b"\n")
        return len(lines) - has_header(head) < 1 or lines == [b""]


def named_rows(path: Path, kinds: Sequence[str]) -> tuple[RowsName, bytes] | None:
    """What the file at *path* says it holds of *kinds*, by its name or its member's; its start.

    Raises:
        SourceError: It is damaged, or its name and its member's contradict one another.
    """
    outer = parse_rows_name(path.name)
    if outer is not None and outer.kind not in kinds:
        return None
    if outer is None and (path.suffix.lower() != ".zip" or parse_name(path.name) is not None):
        return None
    with peek(path) as container:
        inner = parse_rows_name(container.csv_name)
        if outer is not None and inner is not None and outer != inner:
            raise refused(
                path,
                f"holds {inner.symbol} {inner.kind} of {inner.promise}, which is not what its "
                "own name says",
            )
        named = outer or inner
        if named is None or named.kind not in kinds:
            return None
        return named, container.head()


def layout_of(path: Path, head: bytes, layouts: Sequence[Layout]) -> Layout:
    """Which of *layouts* a file that begins with *head* has.

    Raises:
        SourceError: None of them.
    """
    first = head.removeprefix(_BOM).split(b"\n", 1)[0].strip().decode("utf-8", "replace")
    fields = [each.strip().strip('"') for each in first.split(",")]
    if not first:
        return layouts[0]
    if has_header(head):
        for layout in layouts:
            if tuple(fields) in layout.headers:
                return layout
        known = {name for layout in layouts for header in layout.headers for name in header}
        unknown = [name for name in fields if name not in known]
        why = f"has unknown columns ({', '.join(unknown)})" if unknown else "has other columns"
        raise refused(path, f"{why}; known is {','.join(layouts[0].header)}")
    for layout in layouts:
        if len(fields) == len(layout.header):
            return layout
    counts = " or ".join(str(len(layout.header)) for layout in layouts)
    raise refused(path, f"has lines of {len(fields)} fields where {counts} are expected")


def require_utc(path: Path, hints: Hints) -> None:
    """Refuse a ``--timezone`` for times that count from 1970."""
    if hints.timezone not in (None, "UTC"):
        raise InvalidRequest(
            f"{path.name} counts time from 1970 in UTC; --timezone does not apply to it."
        )
