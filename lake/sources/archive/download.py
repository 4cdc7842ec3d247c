"""Downloads files of a vendor's archive: resumed where they broke off, verified, each once.

A file that is not there is an answer, not an error. It knows no tree and no formats.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self

import aiohttp
import certifi

from lake.errors import SourceError, StorageError
from lake.sources.answers import Retry
from lake.sources.archive.digests import sha256_of
from lake.sources.archive.download_notes import note_of, note_path, set_note
from lake.sources.archive.holds import LOOK_S, Hold, shared
from lake.sources.errors import http_date_s

_CHUNK = 1 << 20
# A month of Binance's trades of its largest market is some 10 GB.
_MOST_BYTES = 64 << 30
# Whether the disk has room is looked at before a download, and again after so many bytes of it.
_LOOK_BYTES = 16 << 20
_MOST_CHECKSUM_BYTES = 4_096
# No byte for so long is a broken line; a whole month may take its time.
_SILENCE_S = 60.0
_CONNECT_S = 20.0
_TRIES_AT_FIRST = 4
_SHA256 = re.compile(r"\b([0-9a-fA-F]{64})\b")
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A whole, verified file on the disk, which nobody removes while this object is there.

    Attributes:
        path: Where it lies; its ``.CHECKSUM`` lies beside it where the vendor has one.
        bytes: How many came over the line for it, now and before.
        was_there: It was whole before this call.
    """

    path: Path
    url: str
    etag: str | None
    bytes: int
    was_there: bool
    hold: Hold = field(repr=False, compare=False)


class Downloader:
    """One vendor's tree, and the folder that its files go to.

    Args:
        root_url: What paths are relative to.
        folder: Where files are kept until they are removed by whoever wanted them.
        at_once: Files under way at the same time.
        min_free: Bytes that stay free on the disk.
        retry: How patiently a broken line is mended.
    """

    def __init__(
        self,
        root_url: str,
        folder: Path,
        *,
        at_once: int = 4,
        min_free: int = 2 << 30,
        retry: Retry | None = None,
    ) -> None:
        self._root = root_url.rstrip("/")
        self._folder = folder
        self._room = asyncio.Semaphore(at_once)
        self._min_free = min_free
        self._retry = retry or Retry()
        self._session: aiohttp.ClientSession | None = None
        self.requests = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Release the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def url(self, path: str) -> str:
        """The whole address of *path*."""
        return f"{self._root}/{path}"

    async def fetch(self, path: str) -> Downloaded | None:
        """The file at *path*, whole; None where the vendor has none.

        What was downloaded before stays, and a download that broke off goes on where it did. Who
        else wants the same file, in this process or another, waits for it and gets it, too;
        :func:`remove` it when it was taken in.

        Raises:
            SourceError: It cannot be had, or differs from its checksum each time.
            StorageError: The disk is full.
        """
        async with self._room:
            wanted = await self.checksum(path)
            target = self._folder / path
            for _ in range(2):
                found = await self._retry.run(partial(self._once, path, target, wanted))
                if found is None:
                    return None
                if await asyncio.to_thread(_is_whole, target, wanted):
                    _keep_checksum(target, wanted)
                    return found
                # A proxy's stale copy, or a file that was revised while it came.
                await asyncio.to_thread(remove, found)
                wanted = await self.checksum(path)
            raise SourceError(
                f"{self.url(path)} differs from its .CHECKSUM, twice. Nothing of it was stored; "
                "try again later, or fetch the range from the venue: --source rest.",
                retryable=False,
            )

    async def checksum(self, path: str) -> str | None:
        """The sha256 that the vendor publishes beside *path*; None where there is none.

        Raises:
            SourceError: It cannot be asked.
        """

        async def ask() -> str | None:
            async with self._get(f"{path}.CHECKSUM") as response:
                if response.status == 404:
                    return None
                text = await response.content.read(_MOST_CHECKSUM_BYTES)
            found = _SHA256.search(text.decode("utf-8", "replace"))
            if found is None:
                raise SourceError(f"{self.url(path)}.CHECKSUM holds no sha256.", retryable=True)
            return found[1].lower()

        return await self._retry.run(ask)

    async def date_s(self, *, is_first: bool) -> float:
        """The server's time in seconds since 1970, at least: its Date, and for how long a cache
        has kept that.

        Args:
            is_first: Nothing was heard of the server yet: who has no network wants to hear it
                now, not in a minute.

        Raises:
            SourceError: It cannot be reached, or does not tell.
        """

        async def ask() -> float:
            url = self.url("")
            async with _reaching(url), self._opened().head(url) as response:
                # Whatever it thinks of the root: every answer has a date.
                told, age = response.headers.get("Date"), response.headers.get("Age", "0")
            date = http_date_s(told)
            if date is None:
                raise SourceError(f"{url} does not tell the time ({told!r}).", retryable=True)
            return date + (int(age) if age.isdecimal() else 0)

        self.requests += 1
        tries = min(self._retry.attempts, _TRIES_AT_FIRST) if is_first else self._retry.attempts
        return await replace(self._retry, attempts=tries).run(ask)

    async def _once(self, path: str, target: Path, wanted: str | None) -> Downloaded | None:
        if found := await self._there(path, target, wanted):
            return found
        part = target.with_name(f".{target.name}.part")
        with _opened(part) as file, Hold(part, os.dup(file.fileno())) as hold:
            while not hold.own():
                _require_named(hold, path)
                await asyncio.sleep(LOOK_S)
            _require_named(hold, path)
            # Whoever had it before may have made it whole between these looks.
            if found := await self._there(path, target, wanted):
                _discard(part)
                return found
            if not await self._continue(path, target, part, file):
                return None
        if found := await self._held(path, target, was_there=False):
            return found
        raise SourceError(f"{target} vanished when it was whole.", retryable=True)

    async def _there(self, path: str, target: Path, wanted: str | None) -> Downloaded | None:
        """The file that was downloaded before; another version of it is removed."""
        found = await self._held(path, target, was_there=True)
        if found is None or await asyncio.to_thread(_is_whole, target, wanted):
            return found
        if not await asyncio.to_thread(remove, found):
            raise SourceError(f"An older {target} is just being taken in.", retryable=True)
        return None

    async def _held(self, path: str, target: Path, *, was_there: bool) -> Downloaded | None:
        hold = await shared(target)
        if hold is None:
            return None
        etag, size = note_of(target).get("etag"), hold.size
        return Downloaded(target, self.url(path), etag, size, was_there, hold)

    async def _continue(self, path: str, target: Path, part: Path, file: BinaryIO) -> bool:
        """Download the rest of *part*; False where the vendor has no such file."""
        have = file.tell()
        known = note_of(part).get("etag")
        headers = {}
        if have and known:
            headers = {"Range": f"bytes={have}-", "If-Range": known}
        async with self._get(path, headers) as response:
            if response.status == 404:
                _discard(part)
                return False
            if response.status == 416:
                file.truncate(0)
                raise SourceError(f"{self.url(path)} is shorter than before.", retryable=True)
            if response.status != 206:
                file.truncate(0)
                have = 0
            etag = response.headers.get("ETag")
            set_note(part, {"etag": etag})
            length = response.content_length or 0
            self._require_room(length)
            due = have + _LOOK_BYTES
            async for chunk in response.content.iter_chunked(_CHUNK):
                have += len(chunk)
                if have > due:
                    # Others write, too; and who tells no length may never end.
                    self._require_room(0)
                    due = have + _LOOK_BYTES
                if have > _MOST_BYTES:
                    raise SourceError(
                        f"{self.url(path)} is larger than {_MOST_BYTES >> 30} GiB.", retryable=False
                    )
                try:
                    file.write(chunk)
                except OSError as error:
                    raise StorageError(
                        f"{target.name} cannot be written below {self._folder}: "
                        f"{error.strerror or error}. What was downloaded stays."
                    ) from error
        await asyncio.to_thread(_finish, part, target, file, etag)
        return True

    @asynccontextmanager
    async def _get(
        self, path: str, headers: dict[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request; every way it can fail ends as a ``SourceError``. 404 and 416 are answers."""
        url = self.url(path)
        self.requests += 1
        async with _reaching(url), self._opened().get(url, headers=headers) as response:
            if response.status >= 400 and response.status not in (404, 416):
                raise SourceError(
                    f"{url} answered with status {response.status}. If it stays so, fetch "
                    "from the venue: --source rest.",
                    retryable=response.status in _PASSING,
                )
            yield response

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            cafile = os.environ.get("SSL_CERT_FILE") or certifi.where()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=cafile)),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S
                ),
                # HTTPS_PROXY; and zips come as they are, so that ranges and sizes mean bytes.
                trust_env=True,
                headers={"Accept-Encoding": "identity"},
            )
        return self._session

    def _require_room(self, length: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._folder).free
        if free - length < self._min_free:
            what = f"A file of {length:,} bytes" if length else "This file, of unknown length,"
            raise StorageError(
                f"{what} would leave less than {self._min_free:,} bytes free "
                f"(min_free). {free:,} are free at {self._folder}. Make room, and start again."
            )


@asynccontextmanager
async def _reaching(url: str) -> AsyncIterator[None]:
    """Every way in which a request can fail ends as a ``SourceError``."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise SourceError(
            f"{url} cannot be reached ({error or type(error).__name__}). Fetch from the "
            "venue instead (--source rest), or name a mirror (--archive-url).",
            retryable=True,
        ) from error


def remove(found: Downloaded) -> bool:
    """Remove a file that was taken in, what lies beside it, and folders left empty.

    False: somebody else still needs it, and removes it after that.
    """
    with found.hold as hold:
        if not hold.own():
            return False
        if hold.is_named():
            _remove(found.path)
    return True


def _remove(target: Path) -> None:
    for path in (target, target.with_name(f"{target.name}.CHECKSUM"), note_path(target)):
        path.unlink(missing_ok=True)
    for folder in target.parents:
        try:
            folder.rmdir()
        except OSError:
            # Something else is in it.
            break


def _opened(part: Path) -> BinaryIO:
    """*part*, to go on with.

    Raises:
        SourceError: Its folder was just removed by whoever took in the last file of it.
        StorageError: It cannot be made.
    """
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        return part.open("ab")
    except FileNotFoundError as error:
        raise SourceError(f"{part.parent} was just removed.", retryable=True) from error
    except OSError as error:
        raise StorageError(
            f"{part} cannot be made: {error.strerror or error}. Nothing was downloaded."
        ) from error


def _require_named(hold: Hold, path: str) -> None:
    if not hold.is_named():
        raise SourceError(f"{path} was just downloaded by another run.", retryable=True)


def _finish(part: Path, target: Path, file: BinaryIO, etag: str | None) -> None:
    """Give a download its name, once all of it is on the disk."""
    file.flush()
    os.fsync(file.fileno())
    part.replace(target)
    set_note(target, {"etag": etag})
    note_path(part).unlink(missing_ok=True)


def _discard(part: Path) -> None:
    part.unlink()
    note_path(part).unlink(missing_ok=True)


def _keep_checksum(target: Path, digest: str | None) -> None:
    """Lay the vendor's checksum beside the file, where readers of archives look for it."""
    if digest is None:
        return
    # At once, for somebody else may be reading it.
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.write_text(f"{digest}  {target.name}\n", encoding="utf-8")
    temporary.replace(target.with_name(f"{target.name}.CHECKSUM"))


def _is_whole(path: Path, digest: str | None) -> bool:
    """Whether the file is there, with that digest where one is known."""
    if not path.is_file():
        return False
    return digest is None or sha256_of(path) == digest
