"""Reads what recorders of streams write, message by message: hftbacktest's and cryptofeed's files.

- hftbacktest: each line is ``<receive time in ns> <the message>``, gzipped.
- cryptofeed, JSON-lines, perhaps in zstd: a ``header``, then ``http``, ``connect``, ``send`` and
  ``recv`` with the message as text.
- cryptofeed, older: ``<receive time in s>: <the message>``, and for answers
  ``<url> -> <receive time>: <body>`` in files of their own.

Source: `../shared/data/README.md` (read 2026-11-29). What messages mean, feeds know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path

import msgspec

from lake.errors import SourceError
from lake.sources.archive.container import Container, open_container, refused
from lake.sources.archive.feed import Frame, Json
from lake.sources.archive.json_lines import HTML, lines

# A day of a busy market's changes is some 10 GB.
_MOST_BYTES = 64 << 30
_decode = msgspec.json.Decoder().decode
_STAMPED = re.compile(rb"(\d{19}) (?=[{\[])")
_OLDER = re.compile(rb"(\d{9,11}(?:\.\d+)?): (?=[{\[])")
_ANSWER = re.compile(rb"(https?://\S+) -> (\d{9,11}(?:\.\d+)?): (?=[{\[])")
_CONNECT = re.compile(rb"wss?://\S* <-> \d+")
_SENT = re.compile(rb"(?:wss?://\S* )?<- \d+(?:\.\d+)?: ")
_HEADER = re.compile(rb'\{"t":\s*"header"')
_NOTHING: tuple[bytes, ...] = ()

Marks = Sequence[bytes]


class Layout(Enum):
    """How a file writes messages."""

    HFTBACKTEST = "hftbacktest"
    JSON_LINES = "cryptofeed"
    OLDER_STREAM = "cryptofeed, older"
    OLDER_ANSWERS = "cryptofeed, older, answers"


def layout_of(head: bytes) -> Layout | None:
    """How a file that begins with *head* writes messages; None where it is no recording."""
    if _HEADER.match(head):
        return Layout.JSON_LINES
    if _STAMPED.match(head):
        return Layout.HFTBACKTEST
    if _ANSWER.match(head):
        return Layout.OLDER_ANSWERS
    return Layout.OLDER_STREAM if _CONNECT.match(head) or _OLDER.match(head) else None


def header_of(path: Path, head: bytes) -> Json:
    """The first line of cryptofeed's JSON-lines.

    Raises:
        SourceError: It is none.
    """
    try:
        return _decode(head.split(b"\n", 1)[0])
    except msgspec.DecodeError as error:
        raise refused(path, "has a first line that is no header of a recording") from error


def frames(path: Path, layout: Layout, marks: Marks = _NOTHING) -> Iterator[Frame]:
    """The messages received in the file at *path*, in its order; read to its end.

    Args:
        path: Of the file.
        layout: How it writes them.
        marks: Lines without any of these are left out, where some are given; never those that
            begin a connection.

    Raises:
        SourceError: It is damaged, or some line is none of a recording.
    """
    read = _READERS[layout]
    with open_container(path, unlike=HTML) as container:
        yield from _frames(container, read, marks)


def evidence_of(path: Path) -> str:
    """What proves the file at *path* intact once it was read to its end."""
    with open_container(path, unlike=HTML) as container:
        return container.evidence


def _frames(
    container: Container, read: Callable[[int, bytes, Marks], Frame | None], marks: Marks
) -> Iterator[Frame]:
    number = 0
    try:
        for number, line in enumerate(lines(container, _MOST_BYTES), 1):
            if line.strip() and (frame := read(number, line, marks)) is not None:
                yield frame
    except (msgspec.MsgspecError, UnicodeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        why = f"has a line that is none of a recording (line {number}: {error})"
        raise refused(container.path, why) from error


def _is_marked(line: bytes, marks: Marks) -> bool:
    return not marks or any(mark in line for mark in marks)


def _stamped(number: int, line: bytes, marks: Marks) -> Frame | None:
    found = _STAMPED.match(line)
    if found is None:
        raise ValueError("a time in nanoseconds and a message are expected")
    if not _is_marked(line, marks):
        return None
    return Frame(number, int(found[1]) // 1_000, "", "", _decode(line[found.end() :]))


def _older(number: int, line: bytes, marks: Marks) -> Frame | None:
    if _CONNECT.match(line):
        return Frame(number, 0, "", "", None)
    if _SENT.match(line):
        return None
    found = _OLDER.match(line)
    if found is None:
        raise ValueError("a time in seconds and a message are expected")
    if not _is_marked(line, marks):
        return None
    return Frame(number, _seconds_us(found[1]), "", "", _decode(line[found.end() :]))


def _older_answer(number: int, line: bytes, marks: Marks) -> Frame | None:
    found = _ANSWER.match(line)
    if found is None:
        raise ValueError("an address, a time in seconds and an answer are expected")
    if not _is_marked(line, marks):
        return None
    body = _decode(line[found.end() :])
    return Frame(number, _seconds_us(found[2]), "", found[1].decode(), body)


def _json_line(number: int, line: bytes, marks: Marks) -> Frame | None:
    if not _is_marked(line, marks) and b'"connect"' not in line:
        return None
    told = _decode(line)
    kind = told["t"]
    if kind == "connect":
        return Frame(number, _seconds_us(told["ts"]), told["conn"], "", None)
    if kind in ("header", "send"):
        return None
    if kind not in ("recv", "http"):
        raise ValueError(f"{kind!r} is no kind of line that is known")
    text = told["data"]
    # Some venues answer a ping with a word.
    if not text.lstrip().startswith(("{", "[")):
        return None
    url = told["url"] if kind == "http" else ""
    return Frame(number, _seconds_us(told["ts"]), told.get("conn", ""), url, _decode(text))


def _seconds_us(seconds: bytes | float) -> int:
    return round(float(seconds) * 1_000_000)


_READERS = {
    Layout.HFTBACKTEST: _stamped,
    Layout.JSON_LINES: _json_line,
    Layout.OLDER_STREAM: _older,
    Layout.OLDER_ANSWERS: _older_answer,
}
