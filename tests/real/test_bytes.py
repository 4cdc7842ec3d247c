"""How small recorded data becomes: the promises of docs/storage.md, each file by itself."""

from __future__ import annotations

import pytest

from tests.benchmarks import bench_bytes
from tests.real.kit import needs_recordings

pytestmark = needs_recordings


def test_every_month_of_binances_minutes_is_73_percent_smaller_than_its_csv() -> None:
    """As the lake keeps them, a file a month, footers included; one day alone may miss it."""
    sizes = {size.name: size.smaller for size in bench_bytes.binance_minutes()}

    assert len(sizes) == 6
    assert {name: smaller for name, smaller in sizes.items() if smaller < 0.73} == {}


def test_recorded_trades_are_88_percent_smaller_than_the_csv_of_the_archive() -> None:
    """Of the trades that freqtrade kept the ids of the fills are not known, which are the part
    of the archive's text that packs best: they stay below."""
    spot, futures, partial = (size.smaller for size in bench_bytes.real_trades())

    assert min(spot, futures) > 0.92
    assert partial > 0.84


@pytest.mark.parametrize(
    ("sizes", "least"), [(bench_bytes.real_books, 0.86), (bench_bytes.real_funding, 0.82)]
)
def test_books_and_funding_are_as_small_as_the_docs_say(sizes: object, least: float) -> None:
    assert callable(sizes)

    found = [size.smaller for size in sizes()]

    assert len(found) >= 2
    assert min(found) > least
