"""Instruments that nobody lists, by their names alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake.domain.identifiers import Venue
from lake.errors import InvalidRequest
from lake.sources.archive.archive_source import ArchiveSource
from lake.sources.archive.binance_names import instrument_of
from lake.sources.archive.download import Downloader


def source(venue: str) -> ArchiveSource:
    return ArchiveSource(Venue(venue), Downloader("http://127.0.0.1:9", Path("nowhere")))


@pytest.mark.parametrize(
    ("venue", "text", "code", "native"),
    [
        ("BINANCE", "BTC/USDT", "BTCUSDT", "BTCUSDT"),
        ("BINANCE", "ethbtc", "ETHBTC", "ETHBTC"),
        ("BINANCEUSDM", "BTC/USDT:USDT", "BTCUSDT-PERP", "BTCUSDT"),
        ("BINANCEUSDM", "BTC/USDT", "BTCUSDT-PERP", "BTCUSDT"),
        ("BINANCEUSDM", "BTCUSDT", "BTCUSDT-PERP", "BTCUSDT"),
        ("BINANCEUSDM", "BTCUSDT-PERP.BINANCEUSDM", "BTCUSDT-PERP", "BTCUSDT"),
        ("BINANCECOINM", "BTC/USD:BTC", "BTCUSD-PERP-BTC", "BTCUSD_PERP"),
        ("BINANCECOINM", "BTC/USD", "BTCUSD-PERP-BTC", "BTCUSD_PERP"),
        ("BINANCECOINM", "BTCUSD", "BTCUSD-PERP-BTC", "BTCUSD_PERP"),
        ("BINANCECOINM", "BTCUSD_PERP", "BTCUSD-PERP-BTC", "BTCUSD_PERP"),
        ("BINANCECOINM", "BTC/USD:BTC-241227", "BTCUSD-241227-BTC", "BTCUSD_241227"),
    ],
)
def test_a_name_says_which_files_are_meant(venue: str, text: str, code: str, native: str) -> None:
    [found] = source(venue).named(text, [], is_list=False, is_fresh=False)

    assert (found.code, found.native_id) == (code, native)


def test_what_is_not_clear_is_not_guessed() -> None:
    """Two dated contracts of one pair: the list is old, but knows both."""
    venue = Venue("BINANCECOINM")
    known = [instrument_of(f"BTCUSD_{day}", venue, None) for day in ("240628", "240927")]

    with pytest.raises(InvalidRequest, match="names 2 instruments"):
        source("BINANCECOINM").named("BTCUSD", known, is_list=True, is_fresh=False)
