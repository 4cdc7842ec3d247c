"""Downloads over a real line: broken off, resumed, verified, absent, twice at once."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest
from aiohttp import web

from lake.errors import SourceError, StorageError
from lake.sources.answers import Retry
from lake.sources.archive.download import Downloaded, Downloader, remove

BODY = bytes(range(256)) * 4_000
PATH = "data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip"
_T = TypeVar("_T")
QUICK = Retry(attempts=6, base_s=0.001, longest_s=0.01)


@dataclass
class Vendor:
    """A vendor's server: its file, and how it misbehaves.

    ``cuts`` are the numbers of bytes after which one answer each breaks off, ``stalls`` that after
    which nothing more comes until ``given_up`` is set.
    """

    body: bytes = BODY
    digest: str | None = hashlib.sha256(BODY).hexdigest()
    etag: str = '"one"'
    cuts: list[int] = field(default_factory=list)
    stalls: int | None = None
    given_up: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 200
    tells_length: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        wanted = request.headers.get("Range", "")
        self.asked.append((request.path.rpartition("/")[2], wanted))
        if request.path.endswith(".CHECKSUM"):
            if self.digest is None:
                return web.Response(status=404)
            return web.Response(text=f"{self.digest}  file.zip\n")
        if self.status != 200:
            return web.Response(status=self.status, text="<html>no</html>")
        start = 0
        if wanted and request.headers.get("If-Range") == self.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": self.etag})
        if self.tells_length:
            response.content_length = len(self.body) - start
        await response.prepare(request)
        if self.cuts:
            await response.write(self.body[start : start + self.cuts.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return response
        if self.stalls is not None:
            await response.write(self.body[start : self.stalls])
            await self.given_up.wait()
            return response
        await response.write(self.body[start:])
        return response


@asynccontextmanager
async def serving(vendor: Vendor) -> AsyncIterator[Vendor]:
    runner = web.ServerRunner(web.Server(vendor.answer))  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    vendor.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield vendor
    finally:
        await runner.cleanup()


def during(vendor: Vendor, folder: Path, work: Callable[[Downloader], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        async with (
            serving(vendor),
            Downloader(vendor.url, folder, min_free=0, retry=QUICK) as downloader,
        ):
            return await work(downloader)

    return asyncio.run(run())


def fetched(vendor: Vendor, folder: Path) -> Downloaded | None:
    return during(vendor, folder, lambda downloader: downloader.fetch(PATH))


def ranges(vendor: Vendor) -> list[str]:
    return [part for name, part in vendor.asked if name.endswith(".zip")]


def test_a_file_comes_whole_with_its_checksum_beside_it(tmp_path: Path) -> None:
    vendor = Vendor()

    found = fetched(vendor, tmp_path)

    assert found is not None
    assert found.path == tmp_path / PATH
    assert found.path.read_bytes() == BODY
    assert (found.etag, found.bytes) == ('"one"', len(BODY))
    assert vendor.digest is not None
    assert vendor.digest in found.path.with_name(f"{found.path.name}.CHECKSUM").read_text()
    remove(found)
    assert list(tmp_path.parent.glob(f"{tmp_path.name}/*")) == []


def test_a_download_that_breaks_off_goes_on_where_it_did(tmp_path: Path) -> None:
    vendor = Vendor(cuts=[300_000, 500_000])

    found = fetched(vendor, tmp_path)

    assert found is not None
    assert found.path.read_bytes() == BODY
    assert ranges(vendor) == ["", "bytes=300000-", "bytes=800000-"]


def test_a_download_that_is_stopped_goes_on_next_time(tmp_path: Path) -> None:
    part = tmp_path / Path(PATH).with_name(f".{Path(PATH).name}.part")
    slow, vendor = Vendor(stalls=300_000), Vendor()

    async def stopped(downloader: Downloader) -> None:
        fetching = asyncio.create_task(downloader.fetch(PATH))
        for _ in range(1_000):
            await asyncio.sleep(0.01)
            if part.exists() and part.stat().st_size:
                break
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
        slow.given_up.set()

    during(slow, tmp_path, stopped)
    came = part.stat().st_size
    found = fetched(vendor, tmp_path)

    assert came
    assert found is not None
    assert found.path.read_bytes() == BODY
    assert ranges(vendor) == [f"bytes={came}-"]


def test_a_file_that_changed_in_between_starts_anew(tmp_path: Path) -> None:
    """Two halves of two versions would be a file that never was."""
    vendor = Vendor(cuts=[300_000])
    broken = Retry(attempts=1)

    async def first(downloader: Downloader) -> Downloaded | None:
        downloader._retry = broken
        with pytest.raises(SourceError):
            await downloader.fetch(PATH)
        return None

    during(vendor, tmp_path, first)
    revised = Vendor(body=BODY[::-1], digest=hashlib.sha256(BODY[::-1]).hexdigest(), etag='"two"')
    found = fetched(revised, tmp_path)

    assert found is not None
    assert found.path.read_bytes() == BODY[::-1]
    assert ranges(revised) == ["bytes=300000-"]


def test_what_is_not_there_is_an_answer(tmp_path: Path) -> None:
    vendor = Vendor(status=404, digest=None)

    assert fetched(vendor, tmp_path) is None
    assert len(ranges(vendor)) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_whole_file_is_not_downloaded_again(tmp_path: Path) -> None:
    fetched(Vendor(), tmp_path)
    vendor = Vendor()

    found = fetched(vendor, tmp_path)

    assert found is not None
    assert found.was_there
    assert ranges(vendor) == []


def test_a_wrong_checksum_is_tried_twice_and_refused(tmp_path: Path) -> None:
    vendor = Vendor(digest="0" * 64)

    with pytest.raises(SourceError, match=r"differs from its \.CHECKSUM, twice"):
        fetched(vendor, tmp_path)

    assert len(ranges(vendor)) == 2
    assert list(tmp_path.rglob("*.zip")) == []


@pytest.mark.parametrize(("status", "tries"), [(500, 6), (503, 6), (403, 1), (451, 1)])
def test_errors_that_may_pass_are_retried_and_others_are_not(
    tmp_path: Path, status: int, tries: int
) -> None:
    vendor = Vendor(status=status)

    with pytest.raises(SourceError, match=f"status {status}"):
        fetched(vendor, tmp_path)

    assert len(ranges(vendor)) == tries


def test_nobody_there_is_a_source_error_that_says_the_way_out(tmp_path: Path) -> None:
    async def run() -> None:
        async with Downloader("http://127.0.0.1:1", tmp_path, retry=QUICK) as downloader:
            await downloader.fetch(PATH)

    with pytest.raises(SourceError, match="--source rest"):
        asyncio.run(run())


def test_two_at_once_download_one_file_once_and_each_takes_it_in(tmp_path: Path) -> None:
    """Two processes would behave alike: each has the file open on its own."""
    vendor = Vendor()

    async def twice(downloader: Downloader) -> None:
        async with Downloader(vendor.url, tmp_path, min_free=0, retry=QUICK) as other:
            both = await asyncio.gather(downloader.fetch(PATH), other.fetch(PATH))
        one, two = (found for found in both if found is not None)

        assert not remove(one)
        assert two.path.read_bytes() == BODY
        assert remove(two)

    during(vendor, tmp_path, twice)

    assert len(ranges(vendor)) == 1
    assert not tmp_path.exists(), "folders left empty go, too"


def test_who_comes_while_a_file_is_taken_in_gets_that_file(tmp_path: Path) -> None:
    vendor = Vendor()

    async def later(downloader: Downloader) -> None:
        one = await downloader.fetch(PATH)
        two = await downloader.fetch(PATH)
        assert one is not None
        assert two is not None

        assert two.was_there
        assert not remove(one)
        # What is cancelled with a file at hand lets go of it, and the file stays for the next run.
        del two
        three = await downloader.fetch(PATH)
        assert three is not None
        assert remove(three)

    during(vendor, tmp_path, later)

    assert len(ranges(vendor)) == 1


def test_an_older_version_is_not_removed_under_who_reads_it(tmp_path: Path) -> None:
    """The vendor publishes the file again while the first version is taken in."""
    body = BODY[::-1]
    revised = Vendor(body=body, digest=hashlib.sha256(body).hexdigest(), etag='"two"')

    async def read(downloader: Downloader) -> Downloaded | None:
        one = await downloader.fetch(PATH)
        assert one is not None
        async with (
            serving(revised),
            Downloader(revised.url, tmp_path, min_free=0, retry=QUICK) as other,
        ):
            with pytest.raises(SourceError, match="older"):
                await other.fetch(PATH)
            assert one.path.read_bytes() == BODY
            one.hold.end()
            return await other.fetch(PATH)

    found = during(Vendor(), tmp_path, read)

    assert found is not None
    assert found.path.read_bytes() == body
    assert len(ranges(revised)) == 1


def test_who_waits_for_another_process_can_be_stopped(tmp_path: Path) -> None:
    """A thread that waits for a lock cannot: Ctrl-C would hang until the other one is done."""
    part = tmp_path / Path(PATH).with_name(f".{Path(PATH).name}.part")
    part.parent.mkdir(parents=True)
    with part.open("ab") as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        hung = threading.Event()

        def let_go() -> None:
            hung.set()
            fcntl.flock(others, fcntl.LOCK_UN)

        # So that it fails where it would hang.
        giving_up = threading.Timer(5, let_go)
        giving_up.start()

        async def stopped(downloader: Downloader) -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(downloader.fetch(PATH), 0.3)

        during(Vendor(), tmp_path, stopped)

        giving_up.cancel()
        assert not hung.is_set()


def test_a_full_disk_is_told_before_anything_comes(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            serving(Vendor()) as vendor,
            Downloader(vendor.url, tmp_path, min_free=1 << 60, retry=QUICK) as downloader,
        ):
            await downloader.fetch(PATH)

    with pytest.raises(StorageError, match="min_free"):
        asyncio.run(run())


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")

    with pytest.raises(StorageError, match="cannot be made"):
        fetched(Vendor(), tmp_path)


def test_a_file_of_unknown_length_stops_before_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of this test has 40 MB, of which 20 are to stay free."""
    vendor = Vendor(body=bytes(64 << 20), digest=None, tells_length=False)

    def usage(folder: Path) -> _Usage:
        held = sum(each.stat().st_size for each in Path(folder).rglob("*") if each.is_file())
        return _Usage(40 << 20, held, (40 << 20) - held)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(StorageError, match=r"unknown length, would leave less .* \(min_free\)"):
        during(vendor, tmp_path, lambda downloader: _with_room(downloader).fetch(PATH))

    assert sum(each.stat().st_size for each in tmp_path.rglob(".*.part")) < 40 << 20


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


def _with_room(downloader: Downloader) -> Downloader:
    downloader._min_free = 20 << 20
    return downloader
