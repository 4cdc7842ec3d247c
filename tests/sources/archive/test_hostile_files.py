"""Files that nobody published: each is refused in our words, whatever its bytes."""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path

import pytest
from archive_kit import contents_of, lines, recognised

from lake.domain.identifiers import Venue
from lake.errors import InvalidRequest, LakeError, SourceError
from lake.sources.archive import Hints

SPOT = Hints(venue=Venue("BINANCE"))
DAY = "BTCUSDT-1m-2024-03-01.csv"
GOOD = lines(datetime(2024, 3, 1), 40).encode()
_BITS = [b"\xff\xfe", b"\x80", b"\x00", b"nan", b"1e999", b"9" * 25, b",", b"\n", b'"', b"\r", b""]


def read(path: Path, data: bytes) -> int:
    path.write_bytes(data)
    return contents_of(recognised(path, SPOT)).page.rows.num_rows


@pytest.mark.parametrize(
    "data",
    [
        GOOD.replace(b"100.05", b"100.\x80\x81", 1),
        GOOD[:400] + b"\xff" + GOOD[400:],
        GOOD.replace(b",", b",\xf0\x9f,", 1),
        GOOD.decode().encode("utf-16"),
        GOOD.replace(b"7,", b"\xe9,").replace(b"\n", b",x\n", 3),
    ],
)
def test_what_is_not_utf_8_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SourceError, match=r"not text in UTF-8|does not hold candles"):
        read(tmp_path / DAY, data)


@pytest.mark.parametrize("name", ["9999-12", "9999-12-31", "0000-01", "2024-13", "2023-02-29"])
def test_a_day_that_no_calendar_has_is_refused(tmp_path: Path, name: str) -> None:
    """Year 9999 has a December, but that month has no end."""
    with pytest.raises(InvalidRequest, match="a day that does not exist"):
        read(tmp_path / f"BTCUSDT-1m-{name}.csv", GOOD)


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_ends_in_our_own_errors(tmp_path: Path, seed: int) -> None:
    """A thousand files, each with a few bytes of every unpleasant kind put in."""
    rng = random.Random(seed)
    refused = 0
    for _ in range(250):
        data = bytearray(GOOD)
        for _ in range(rng.randint(0, 8)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice([0, 1, 3, 14])] = rng.choice(_BITS)
        try:
            assert read(tmp_path / DAY, bytes(data)) <= 40
        except LakeError:
            refused += 1

    assert 0 < refused < 250
