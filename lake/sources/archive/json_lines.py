"""Reads a container's lines, of JSON or not, one at a time, in bounded memory.

It knows nothing of what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lake.sources.archive.container import Container, refused

# What no file of lines of JSON begins with: a web page. Each of its lines is a JSON message.
HTML = b"<"
_BLOCK_BYTES = 1 << 20
# A snapshot of a thousand levels a side is some 60 KB, an exchange's list of instruments 10 MB.
_MAX_LINE_BYTES = 32 << 20


def objects(
    container: Container, budget: int, *, header: bytes = b""
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's number, from 1, and its object; the checksum is compared at the end.

    Args:
        container: The opened file.
        budget: Bytes that it may have.
        header: A first line that is no object; empty where there is none.

    Raises:
        SourceError: The file is damaged, or a line is no JSON object.
    """
    path = container.path
    number = 0
    for number, line in enumerate(lines(container, budget), 1):
        if not line.strip() or (number == 1 and header and line.strip() == header):
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise refused(path, f"has a line that is not JSON (line {number})") from error
        if not isinstance(found, dict):
            raise refused(path, f"has a line that is no JSON object (line {number})")
        yield number, found


def lines(container: Container, budget: int) -> Iterator[bytes]:
    """Each line without its end; the checksum is compared after the last one.

    Raises:
        SourceError: The file is damaged, or has a line that does not end.
    """
    rest = b""
    with container.stream(budget) as stream:
        while block := stream.read(_BLOCK_BYTES):
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
            if len(rest) > _MAX_LINE_BYTES:
                raise refused(container.path, "has a line that does not end: it is not JSON lines")
        stream.finish()
    if rest:
        yield rest
