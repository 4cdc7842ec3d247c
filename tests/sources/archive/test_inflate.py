"""The inflater of zips: the same bytes as Python's own, and the same refusals."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import pytest

from lake.sources.archive import inflate
from lake.sources.archive.inflate import Inflating


def zipped(path: Path, text: bytes) -> zipfile.ZipInfo:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first.csv", b"another member, so that the offset is not 0")
        archive.writestr("text.csv", text)
        return archive.getinfo("text.csv")


def unpacked(path: Path, member: zipfile.ZipInfo, size: int) -> list[bytes]:
    with path.open("rb") as file:
        stream = Inflating(file, member)
        return list(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize("seed", range(20))
def test_reads_of_any_size_give_what_was_packed(tmp_path: Path, seed: int) -> None:
    """Each read but the last is as long as asked for, however well the text was packed."""
    draw = random.Random(seed)
    text = b"".join(
        draw.choice([draw.randbytes(9_000), b"0.00000000," * 4_000])
        for _ in range(draw.randint(0, 30))
    )
    member = zipped(tmp_path / "a.zip", text)
    size = draw.choice([1_000, 65_536, 1 << 20])

    parts = unpacked(tmp_path / "a.zip", member, size)

    assert b"".join(parts) == text
    assert all(len(part) == size for part in parts[:-1])


def test_another_crc_is_told_at_the_end(tmp_path: Path) -> None:
    """The directory's CRC is what proves the member, so the whole of it has to be read."""
    member = zipped(tmp_path / "a.zip", b"1,2,3\n" * 1_000)
    member.CRC ^= 1

    with pytest.raises(zipfile.BadZipFile, match=r"Bad CRC-32 for file 'text\.csv'"):
        unpacked(tmp_path / "a.zip", member, 1_000)


def test_data_that_ends_too_early_is_an_error(tmp_path: Path) -> None:
    """A short answer would look like a file with fewer rows."""
    member = zipped(tmp_path / "a.zip", random.Random(1).randbytes(500_000))
    member.compress_size -= 100

    with pytest.raises(EOFError):
        unpacked(tmp_path / "a.zip", member, 1_000)


def test_a_file_that_ends_inside_of_the_data_is_an_error(tmp_path: Path) -> None:
    """It may have been cut after it was opened."""
    member = zipped(tmp_path / "a.zip", random.Random(1).randbytes(500_000))
    packed = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(packed[:200_000])

    with pytest.raises(EOFError):
        unpacked(tmp_path / "a.zip", member, 1_000)


def test_what_is_not_deflated_is_an_error(tmp_path: Path) -> None:
    """Bytes that were altered are noticed before the CRC, as a rule."""
    member = zipped(tmp_path / "a.zip", b"1,2,3\n" * 1_000)
    packed = bytearray((tmp_path / "a.zip").read_bytes())
    packed[packed.index(b"text.csv") + len(b"text.csv")] = 0xFF
    (tmp_path / "a.zip").write_bytes(packed)

    with pytest.raises(inflate.error):
        unpacked(tmp_path / "a.zip", member, 1_000)
