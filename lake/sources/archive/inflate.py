"""Unpacks a deflated member of a zip, twice as fast as Python's own zlib (bench_import).

What its length and its names mean, :mod:`lake.sources.archive.container` knows.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from typing import IO, Any, cast

from zlib_ng import zlib_ng

# Raised for data that is no deflate stream.
error: type[Exception] = cast(Any, zlib_ng.error)

_RAW = -15
_PACKED_BYTES = 1 << 19
# Of the header before the data: its own length, and where it says how long name and extra are.
_HEADER_BYTES = 30
_LENGTHS = struct.Struct("<26xHH")


class Inflating(io.RawIOBase):
    """The text of one member, from its start; its CRC is compared when the end is reached.

    Args:
        file: The zip, open. Its position is neither used nor moved.
        member: One that :meth:`zipfile.ZipFile.open` opened without an error: it looks whether
            the header before the data is the one that the directory tells of.
    """

    def __init__(self, file: IO[bytes], member: zipfile.ZipInfo) -> None:
        super().__init__()
        self._descriptor = file.fileno()
        self._member = member
        header = os.pread(self._descriptor, _HEADER_BYTES, member.header_offset)
        name, extra = _LENGTHS.unpack(header)
        self._place = member.header_offset + _HEADER_BYTES + name + extra
        self._left = member.compress_size
        self._packed = b""
        self._unpacker = zlib_ng.decompressobj(_RAW)
        self._crc = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """At most *size* bytes, nothing at the end.

        Raises:
            EOFError: The data ends before it says so.
            error: It is not deflated.
            zipfile.BadZipFile: Its CRC is another.
        """
        assert size > 0, "a zip may unpack to any size: a bound is always told"
        parts: list[bytes] = []
        wanted = size
        while wanted and not self._unpacker.eof:
            if not self._packed and self._left:
                self._fill()
            part = self._unpacker.decompress(self._packed, wanted)
            self._packed = self._unpacker.unconsumed_tail
            if not (part or self._packed or self._left or self._unpacker.eof):
                raise EOFError
            self._crc = zlib_ng.crc32(part, self._crc)
            parts.append(part)
            wanted -= len(part)
        if self._unpacker.eof and self._crc != self._member.CRC:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self._member.filename!r}")
        return b"".join(parts)

    def _fill(self) -> None:
        wanted = min(_PACKED_BYTES, self._left)
        self._packed = os.pread(self._descriptor, wanted, self._place)
        if not self._packed:
            raise EOFError
        self._place += len(self._packed)
        self._left -= len(self._packed)
