"""Adds up what the buffers of a Feather file say they unpack to, before any of them is unpacked.

Arrow believes these sizes when it makes room for them, so a few bytes could ask for all memory.
Read are only the lengths, as Arrow's format lays them out: a block's metadata is a flatbuffer
(Message.fbs, "Encapsulated message format" and "Compressed buffers", read 2026-11-29).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO

from lake.sources.archive.container import MAX_RATIO, RATIO_FREE_BYTES, damaged, refused

_MAGIC = b"ARROW1"
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2
_MOST_METADATA = 16 << 20
_NOT_COMPRESSED = -1


def require_sizes(path: Path) -> None:
    """
    Raises:
        SourceError: The file is no whole Arrow file, or its buffers unpack to far too much.
    """
    size = path.stat().st_size
    total = 0
    try:
        with path.open("rb") as file:
            for offset, metadata_length in _blocks(file, size):
                total += _unpacked(file, offset, metadata_length, size)
                if total > RATIO_FREE_BYTES and total > size * MAX_RATIO:
                    raise refused(
                        path, f"unpacks to more than {MAX_RATIO} times its size: a zip bomb"
                    )
    except (struct.error, IndexError, _Odd) as error:
        raise damaged(path, "is cut short or damaged") from error


class _Odd(Exception):
    """A length that cannot be."""


def _blocks(file: IO[bytes], size: int) -> list[tuple[int, int]]:
    """Where the blocks of the file begin, and how long their metadata is."""
    if size < 2 * len(_MAGIC) + 8:
        raise _Odd
    file.seek(size - len(_MAGIC) - 4)
    length, magic = struct.unpack("<i6s", file.read(10))
    if magic != _MAGIC or not 0 < length <= min(_MOST_METADATA, size - 10):
        raise _Odd
    file.seek(size - 10 - length)
    footer = file.read(length)
    root = _root(footer)
    # Footer: version, schema, dictionaries, record batches.
    found = []
    for field in (2, 3):
        start, count = _vector(footer, root, field)
        for number in range(count):
            found.append(struct.unpack_from("<qi4xq", footer, start + 24 * number)[:2])
    return found


def _unpacked(file: IO[bytes], offset: int, metadata_length: int, size: int) -> int:
    """What the buffers of one block say they unpack to."""
    if not 0 <= offset <= size or not 8 < metadata_length <= _MOST_METADATA:
        raise _Odd
    file.seek(offset)
    head = file.read(metadata_length)
    # A continuation mark stands first since Arrow 0.15.
    message = head[8:] if head[:4] == b"\xff\xff\xff\xff" else head[4:]
    root = _root(message)
    kind = message[_field(message, root, 1)] if _field(message, root, 1) else 0
    place = _field(message, root, 2)
    if not place:
        return 0
    batch = place + struct.unpack_from("<I", message, place)[0]
    if kind == _DICTIONARY_BATCH:
        inner = _field(message, batch, 1)
        if not inner:
            return 0
        batch = inner + struct.unpack_from("<I", message, inner)[0]
    elif kind != _RECORD_BATCH:
        return 0
    is_compressed = bool(_field(message, batch, 3))
    start, count = _vector(message, batch, 2)
    total = 0
    for number in range(count):
        at, length = struct.unpack_from("<qq", message, start + 16 * number)
        if length <= 0:
            continue
        if not is_compressed:
            total += length
            continue
        file.seek(offset + metadata_length + at)
        said = struct.unpack("<q", file.read(8))[0]
        total += length if said == _NOT_COMPRESSED else said
        if said < _NOT_COMPRESSED:
            raise _Odd
    return total


def _root(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 0)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table is; 0 where it is not there."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    length = struct.unpack_from("<H", data, vtable)[0]
    slot = 4 + 2 * number
    if slot >= length:
        return 0
    offset = struct.unpack_from("<H", data, vtable + slot)[0]
    return table + offset if offset else 0


def _vector(data: bytes, table: int, number: int) -> tuple[int, int]:
    """Where the items of a vector begin, and how many there are."""
    place = _field(data, table, number)
    if not place:
        return 0, 0
    start = place + struct.unpack_from("<I", data, place)[0]
    count = struct.unpack_from("<I", data, start)[0]
    if count > len(data):
        raise _Odd
    return start + 4, count
