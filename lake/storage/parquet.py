"""Writes and reads the lake's Parquet files: settings, footer, checksums. Knows no catalog."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from lake.domain.coverage import Coverage
from lake.domain.identifiers import Series
from lake.domain.rows import SourceTag
from lake.domain.schemas import RowSpec
from lake.domain.times import from_us, to_us
from lake.errors import InvalidRequest, SchemaMismatch, StorageError
from lake.storage import disk
from lake.storage.columns import conform
from lake.storage.points import reached
from lake.storage.records import (
    coverage_of,
    coverage_row,
    moment_or_none,
    series_key,
    series_of,
    us_or_none,
)

_KEY = b"lake"
_SERIES_NAMES = ("data_type", "venue", "instrument", "timeframe")
# A month of minutes is one group; of larger files a reader can skip what it does not need.
_ROW_GROUP = 131_072
_ZSTD_LEVEL = 3
_DICTIONARY_COLUMNS = {"side", "bid_prices", "bid_quantities", "ask_prices", "ask_quantities"}


class DamagedFile(StorageError):
    """The file is not what was written: cut short, altered, or not Parquet at all."""


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file says of itself, enough to make its rows of the catalog again.

    ``claims`` is the coverage that its commit laid, ``coverage`` all that was known of the
    partition then (without job ids, which die with the catalog). ``stored`` is how many rows
    its commit added or changed.
    """

    lake_id: str
    series: Series
    schema_version: int
    generation: int
    commit_id: str
    job_id: str
    token: int
    rows: int
    min_ts: datetime | None
    max_ts: datetime | None
    source: SourceTag
    origin: str
    written_at: datetime
    stored: int
    progress: float | None
    claims: tuple[Coverage, ...]
    coverage: tuple[Coverage, ...]

    def to_json(self) -> bytes:
        content = {
            "lake_id": self.lake_id,
            "series": series_key(self.series),
            "schema_version": self.schema_version,
            "generation": self.generation,
            "commit": self.commit_id,
            "job": self.job_id,
            "token": self.token,
            "rows": self.rows,
            "min_ts": us_or_none(self.min_ts),
            "max_ts": us_or_none(self.max_ts),
            "source": {
                "name": self.source.name,
                "rank": self.source.rank,
                "origin": self.source.origin,
            },
            "origin": self.origin,
            "written_at": to_us(self.written_at),
            "stored": self.stored,
            "progress": self.progress,
            "claims": [coverage_row(each) for each in self.claims],
            "coverage": [coverage_row(each) for each in self.coverage],
        }
        return json.dumps(content, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Footer:
        found = json.loads(text)
        return cls(
            lake_id=found["lake_id"],
            series=series_of(tuple(found["series"][name] for name in _SERIES_NAMES)),
            schema_version=found["schema_version"],
            generation=found["generation"],
            commit_id=found["commit"],
            job_id=found["job"],
            token=found["token"],
            rows=found["rows"],
            min_ts=moment_or_none(found["min_ts"]),
            max_ts=moment_or_none(found["max_ts"]),
            source=SourceTag(**found["source"]),
            origin=found["origin"],
            written_at=from_us(found["written_at"]),
            stored=found["stored"],
            progress=found["progress"],
            claims=tuple(coverage_of(tuple(row)) for row in found["claims"]),
            coverage=tuple(coverage_of(tuple(row)) for row in found["coverage"]),
        )


@dataclass(frozen=True, slots=True)
class Written:
    """How large a whole file is, and its digest."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Held(Written):
    """A file as it was read through one descriptor."""

    rows: pa.Table
    footer: Footer


def write(path: Path, rows: pa.Table, spec: RowSpec, footer: Footer) -> Written:
    """Write *rows* to the new file *path* and force it onto the disk.

    Raises:
        StorageError: The disk failed; the file is gone again.
    """
    with disk.storage_errors(f"writing {path}"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            reached("temporary.created")
            sink = _Sink(descriptor)
            _encode(sink, rows, spec, footer)
            reached("temporary.written")
            disk.sync_file(descriptor)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        reached("temporary.synced")
        return Written(sink.position, sink.digest.hexdigest())


def read_footer(path: Path) -> Footer | None:
    """What the file at *path* says of itself; None where there is no file.

    Raises:
        DamagedFile: It cannot be read, or was not written by a lake.
    """
    try:
        # Opened once: the path may be another file a moment later.
        with disk.storage_errors(f"reading {path}"), path.open("rb") as file:
            try:
                return _footer_of(pq.read_metadata(file), path)
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the disk's own words, not Arrow's: the file may be sound
                raise _damaged(path, error) from error
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def read_held(path: Path, spec: RowSpec) -> Held | None:
    """Rows and footer of the file at *path*, every page checked; None where there is no file.

    Raises:
        DamagedFile: It cannot be read, a checksum does not fit, or it has other columns.
    """
    content = _content(path)
    if content is None:
        return None
    table, footer = _decoded(content, path)
    return Held(
        rows=_conformed(table, spec, path),
        footer=_footer_of(footer, path),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def behind(path: Path, found: object | None) -> StorageError:
    """The error for a file that is not there, or is an older one than was recorded."""
    return StorageError(
        f"{path} is {'missing' if found is None else 'older than the catalog says'}. "
        "`lake doctor --repair` marks what it lacks as missing; the next backfill fetches it."
    )


def altered(path: Path) -> DamagedFile:
    """The error for a file whose digest is not the one that was recorded."""
    return _damaged(path, "its digest is not the one that was written")


def _content(path: Path) -> bytes | None:
    with disk.storage_errors(f"reading {path}"):
        try:
            with path.open("rb") as file:
                return file.read()
        except FileNotFoundError:
            return None


def _conformed(table: pa.Table, spec: RowSpec, path: Path) -> pa.Table:
    try:
        return conform(table, spec)
    except (SchemaMismatch, UnicodeDecodeError) as error:
        # A name in the footer has a bit flipped, or somebody else wrote the file.
        raise _damaged(path, "it has other columns than were written") from error


def _decoded(content: bytes, path: Path) -> tuple[pa.Table, pq.FileMetaData]:
    try:
        with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
            return file.read(), file.metadata
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _footer_of(metadata: pq.FileMetaData, path: Path) -> Footer:
    text = (metadata.metadata or {}).get(_KEY)
    if text is None:
        raise DamagedFile(
            f"{path} was not written by a lake. Move it out of the tree, or bring its rows in "
            "with `lake import`."
        )
    try:
        footer = Footer.from_json(text)
    except (ValueError, KeyError, TypeError, InvalidRequest) as error:
        raise _damaged(path, error) from error
    if footer.rows != metadata.num_rows:
        raise _damaged(path, f"{metadata.num_rows} rows where {footer.rows} were written")
    return footer


def _damaged(path: Path, why: object) -> DamagedFile:
    return DamagedFile(
        f"{path} is damaged ({why}). `lake doctor --repair` moves it to quarantine and marks its "
        "range as missing; the next backfill fetches it again."
    )


class _Sink:
    """A file for Arrow to write to, which counts and digests what goes through."""

    closed = False

    def __init__(self, descriptor: int) -> None:
        self.position = 0
        self.digest = hashlib.sha256()
        self._descriptor = descriptor

    def write(self, content: Any) -> int:
        view = memoryview(content)
        written = 0
        while written < len(view):
            written += os.write(self._descriptor, view[written:])
        self.digest.update(view)
        self.position += len(view)
        return len(view)

    def tell(self) -> int:
        return self.position

    def flush(self) -> None:
        """Every write has gone to the kernel already."""

    def close(self) -> None:
        """The descriptor belongs to the caller, who has yet to sync it."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


def _encode(sink: _Sink, rows: pa.Table, spec: RowSpec, footer: Footer) -> None:
    with pq.ParquetWriter(
        cast(Any, sink),
        spec.schema,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        use_dictionary=[name for name in spec.schema.names if name in _DICTIONARY_COLUMNS] or False,
        column_encoding=_encodings(spec),
        write_page_checksum=True,
        # Types and field ids are in Parquet's own schema; Arrow's copy would only add bytes.
        store_schema=False,
    ) as writer:
        writer.write_table(rows, row_group_size=_ROW_GROUP)
        writer.add_key_value_metadata({_KEY: footer.to_json()})


def _encodings(spec: RowSpec) -> dict[str, str]:
    """Measured on candles and trades (facts/performance.md, section 2)."""
    chosen: dict[str, str] = {}
    for field in spec.schema:
        if field.name in _DICTIONARY_COLUMNS or pa.types.is_list(field.type):
            continue
        if pa.types.is_floating(field.type):
            chosen[field.name] = "PLAIN"
        elif pa.types.is_string(field.type):
            chosen[field.name] = "DELTA_BYTE_ARRAY"
        else:
            chosen[field.name] = "DELTA_BINARY_PACKED"
    return chosen
