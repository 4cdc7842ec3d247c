"""`lake sources --archives` lists every reader, and what its files are called."""

from __future__ import annotations

import json
import subprocess
import sys

from lake.sources.archive import FORMATS

KNOWN = [
    "Any file, with --map or --mapping",
    "Tardis CSV files",
    "hftbacktest recordings",
    "cryptofeed recordings",
    "Trade archives of Bybit, KuCoin, OKX and Gate",
    "Gate archives",
    "OKX archives",
    "KuCoin archives",
    "KuCoin order book archives",
    "Bitget trade archives",
    "Binance candle archives",
    "Binance trade archives",
    "Binance funding archives",
    "Binance tick-level order books",
    "Kraken bulk files",
    "freqtrade data folders",
    "QuantConnect Lean data",
    "Funding histories",
    "Bybit order book archives",
]


def listed(*arguments: str) -> list[dict[str, str]]:
    command = [sys.executable, "-m", "lake", "sources", "--archives", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    assert isinstance(rows, list)
    return rows


def test_every_reader_is_listed() -> None:
    rows = listed()

    assert [row["format"] for row in rows] == KNOWN
    assert [each.name for each in FORMATS] == KNOWN
    assert all(row["files"] and row["data_types"] and row["venues"] for row in rows)


def test_a_venue_and_a_type_pick_some() -> None:
    """Files of any venue are listed with each."""
    names = [row["format"] for row in listed("OKX", "--type", "orderbook")]

    assert names == ["Tardis CSV files", "cryptofeed recordings"]
