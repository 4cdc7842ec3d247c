"""Opens a vendor's file safely: zip, gzip, zstd or plain, as one bounded stream of bytes.

Nothing is ever unpacked to disk, and no name inside a file becomes a path. It knows nothing
of what the bytes mean.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

import pyarrow as pa

from lake.errors import SourceError
from lake.sources.archive import inflate
from lake.sources.archive.digests import md5_of, sha256_of
from lake.sources.archive.inflate import Inflating

# Vendors' CSV deflates 2 to 30 times; deflate itself can reach 1,032.
MAX_RATIO = 200
# Below this a high ratio is harmless, and a quiet market's day may well have one.
RATIO_FREE_BYTES = 8 << 20
_HEAD_BYTES = 4096
# Longer than any line of a candle file, so that the last line is always whole in it.
_TAIL_BYTES = 1024
_READ_BYTES = 1 << 20
_SHA256 = re.compile(r"\b([0-9a-fA-F]{64})\b")
# What KuCoin publishes (Baselm1/Veldra-Historical-Crypto-Market-Data-Downloader, docs/kucoin.md,
# read 2026-11-29).
_MD5 = re.compile(r"\b([0-9a-fA-F]{32})\b")
# Bitget packs spreadsheets into zips, and a spreadsheet is a zip itself.
_SHEET = re.compile(r"\.xlsx?$|^\[Content_Types\]\.xml$", re.IGNORECASE)
_ENCRYPTED = 0x1
_ZSTD = b"\x28\xb5\x2f\xfd"
# The bit of the byte after it that says whether a checksum follows the frame (RFC 8878, 3.1.1.1.1).
_ZSTD_CHECKSUM = 0x4
# A web page, a JSON message.
NO_CSV = b"<{"
_DAMAGE = (
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    EOFError,
    zlib.error,
    inflate.error,
    OSError,
)
_Source: TypeAlias = "IO[bytes] | gzip.GzipFile | Inflating | pa.NativeFile"


@dataclass(frozen=True, slots=True)
class Container:
    """An opened file that holds one CSV.

    Attributes:
        csv_name: The CSV's own name: the member's inside a zip, else the file's.
        evidence: What proves that no byte is missing or changed; empty where nothing does.
        packed_bytes: The file's size.
        member: What is read inside a zip.
    """

    path: Path
    csv_name: str
    evidence: str
    packed_bytes: int
    file: IO[bytes]
    archive: zipfile.ZipFile | None = None
    member: zipfile.ZipInfo | None = None
    is_gzip: bool = False
    is_zstd: bool = False

    def head(self) -> bytes:
        """The first bytes of the CSV."""
        with self.stream(_READ_BYTES) as stream:
            return stream.read(_HEAD_BYTES)

    def require_intact(self, budget: int) -> None:
        """Read it to its end for nothing but its CRC.

        Raises:
            SourceError: It is damaged.
        """
        with self.stream(budget) as stream:
            stream.finish()

    def _unpacking(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Source:
        try:
            source = archive.open(member)
            if member.compress_type != zipfile.ZIP_DEFLATED:
                return source
            source.close()
            return Inflating(self.file, member)
        except (zipfile.BadZipFile, OSError, ValueError, struct.error) as error:
            # What the directory says of the member is not where it says.
            raise damaged(self.path, f"is damaged ({error})") from error
        except (NotImplementedError, RuntimeError) as error:
            raise refused(self.path, f"is packed in a way that is not read ({error})") from error

    @contextmanager
    def stream(self, budget: int, *, is_text: bool = False) -> Iterator[Stream]:
        """The CSV's bytes from the start.

        Args:
            budget: How many bytes it can hold at most; more is an error, raised while reading.
            is_text: Whether what is not UTF-8 is an error, too.
        """
        source: _Source = self.file
        if self.is_zstd:
            # Memory and file of Arrow's own: see csv_blocks.
            source = pa.CompressedInputStream(pa.OSFile(str(self.path)), "zstd")
        elif self.archive is not None and self.member is not None:
            source = self._unpacking(self.archive, self.member)
        else:
            self.file.seek(0)
            if self.is_gzip:
                source = gzip.GzipFile(fileobj=self.file)
        stream = Stream(self, source, budget, is_text=is_text)
        try:
            yield stream
        finally:
            if source is not self.file:
                source.close()


class Stream(io.RawIOBase):
    """Reads a container's CSV, and stops at what a bomb or a damaged file does.

    Attributes:
        error: What stopped it, also where a reader in between has changed the exception.
        tail: The last bytes read.
    """

    def __init__(
        self,
        container: Container,
        source: _Source,
        budget: int,
        *,
        is_text: bool = False,
    ) -> None:
        super().__init__()
        self._container = container
        self._source = source
        self._budget = budget
        self._bytes = 0
        self.error: SourceError | None = None
        self.tail = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._read(_READ_BYTES if size is None or size < 0 else size)
        self._bytes += len(data)
        if data:
            self.tail = (self.tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        packed = self._container.packed_bytes
        if self._bytes > self._budget:
            self._fail(
                f"unpacks to more than {self._budget:,} bytes, more than what it says it holds "
                "can take. It is not what it says, or it is a zip bomb"
            )
        if self._bytes > RATIO_FREE_BYTES and self._bytes > packed * MAX_RATIO:
            self._fail(f"unpacks to more than {MAX_RATIO} times its size: a zip bomb")
        if self._decoder is not None:
            try:
                self._decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                self._fail(f"is not text in UTF-8 (byte {self._bytes - len(data) + error.start})")
        return data

    def finish(self) -> None:
        """Read what a parser left, so that the checksum at the end is compared."""
        while self.read(_READ_BYTES):
            pass
        member = self._container.member
        if member is not None and self._bytes != member.file_size:
            self._fail(f"says it holds {member.file_size:,} bytes, and holds {self._bytes:,}")

    def _read(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except _DAMAGE as error:
            is_cut = isinstance(error, EOFError) or "Truncated" in str(error)
            why = "is cut short" if is_cut else f"is damaged ({error})"
            self.error = damaged(self._container.path, why)
            raise self.error from error

    def _fail(self, why: str) -> None:
        self.error = refused(self._container.path, why)
        raise self.error


def refused(path: Path, why: str) -> SourceError:
    """The error for a file that is not what is read here."""
    return SourceError(f"{path.name} {why}. Nothing of it was stored.", retryable=False)


def damaged(path: Path, why: str) -> SourceError:
    """The error for a file that did not arrive as it was sent: another copy may be whole."""
    return SourceError(
        f"{path.name} {why}. Nothing of it was stored; download or copy it again.",
        retryable=False,
    )


@contextmanager
def open_container(path: Path, *, unlike: bytes = NO_CSV) -> Iterator[Container]:
    """The file at *path*, checked from outside: kind, members, and ``.CHECKSUM`` beside it.

    The CRC inside is compared while the stream is read.

    Args:
        path: Of the file.
        unlike: What no file of this kind begins with.

    Raises:
        SourceError: It is not what its name says, or dangerous, or its checksum differs.
    """
    with _opened(path, _checksum, unlike) as container:
        yield container


@contextmanager
def peek(path: Path, *, unlike: bytes = NO_CSV) -> Iterator[Container]:
    """The same for a look at its first bytes: its checksum is left for when all of it is read."""
    with _opened(path, lambda path: "", unlike) as container:
        yield container


@contextmanager
def _opened(path: Path, digest_of: Callable[[Path], str], unlike: bytes) -> Iterator[Container]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}.", retryable=False) from error
    with file:
        head = file.read(_HEAD_BYTES)
        _require_data(path, head, unlike)
        digest = digest_of(path)
        packed = path.stat().st_size
        if head.startswith(b"PK"):
            with _zip(path, file) as archive:
                member = _only_member(path, archive)
                evidence = ", ".join(["zip CRC"] + [digest] * bool(digest))
                yield Container(path, member.filename, evidence, packed, file, archive, member)
            return
        is_gzip = head.startswith(b"\x1f\x8b")
        is_zstd = head.startswith(_ZSTD)
        has_sum = is_zstd and len(head) > len(_ZSTD) and head[len(_ZSTD)] & _ZSTD_CHECKSUM
        proofs = (
            ["gzip CRC"] * is_gzip + ["zstd checksum"] * bool(has_sum) + [digest] * bool(digest)
        )
        evidence = ", ".join(proofs)
        yield Container(path, path.name, evidence, packed, file, is_gzip=is_gzip, is_zstd=is_zstd)


def _require_data(path: Path, head: bytes, unlike: bytes) -> None:
    """Refuse what is no data at all: nothing, or an answer of a web server saved as a file."""
    if not head:
        raise damaged(path, "is empty")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start and start in unlike:
        kind = "a web page or error message" if start == b"<" else "a JSON message"
        raise damaged(path, f"is {kind} saved under the name of an archive")
    is_packed = head.startswith((b"PK", b"\x1f\x8b"))
    if path.suffix.lower() == ".zip" and not is_packed:
        raise damaged(path, "is not a zip")


def _checksum(path: Path) -> str:
    """Compare with the ``.CHECKSUM`` file beside *path*; what kind it is, empty without one."""
    beside = path.with_name(path.name + ".CHECKSUM")
    if not beside.is_file():
        return ""
    text = beside.read_text(encoding="utf-8", errors="replace")[:_HEAD_BYTES]
    if found := _SHA256.search(text):
        kind, digest = "sha256", sha256_of(path)
    elif found := _MD5.search(text):
        kind, digest = "md5", md5_of(path)
    else:
        raise SourceError(
            f"{beside.name} holds no sha256 and no md5. Download it again, or remove it to import "
            f"{path.name} unchecked.",
            retryable=False,
        )
    if digest != found[1].lower():
        raise damaged(path, f"differs from its checksum in {beside.name}")
    return kind


@contextmanager
def _zip(path: Path, file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    file.seek(0)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        # The directory of a zip is at its end, so this is what a cut download looks like.
        raise damaged(path, "is a zip that is cut short or damaged") from error
    with archive:
        yield archive


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = archive.infolist()
    if sheet := next((each.filename for each in members if _SHEET.search(each.filename)), None):
        what = "is" if sheet.startswith("[") else f"holds {sheet!r},"
        raise SourceError(
            f"{path.name} {what} a spreadsheet, which is not read. Save it as CSV, and import that "
            "with --map (docs/importing.md). Nothing of it was stored.",
            retryable=False,
        )
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:3])
        raise refused(path, f"holds {len(members)} files ({names}) where one is expected")
    member = members[0]
    name = member.filename
    mode = member.external_attr >> 16
    if stat.S_ISLNK(mode):
        raise refused(path, f"holds a link ({name!r}), not a file")
    if "/" in name or "\\" in name or ":" in name or name.startswith("."):
        raise refused(path, f"holds a file with a path ({name!r})")
    if member.flag_bits & _ENCRYPTED:
        raise refused(path, "is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refused(path, f"is compressed in an unusual way ({member.compress_type})")
    return member
