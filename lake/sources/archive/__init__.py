"""Vendors' bulk files: one reader per format behind :class:`ArchiveFormat`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lake.errors import SourceError
from lake.sources.archive.binance_candles import BinanceCandles
from lake.sources.archive.binance_depth import BinanceDepth
from lake.sources.archive.binance_funding import BinanceFunding
from lake.sources.archive.binance_trades import BinanceTrades
from lake.sources.archive.bitget_trades import BitgetTrades
from lake.sources.archive.bybit_books import BybitBooks
from lake.sources.archive.format import (
    OTHERS,
    VENDOR,
    ArchiveFile,
    ArchiveFormat,
    Hints,
    Lot,
    NotRecognised,
    Streamed,
)
from lake.sources.archive.freqtrade_files import FreqtradeFiles
from lake.sources.archive.funding_histories import FundingHistories
from lake.sources.archive.gate_files import GateFiles
from lake.sources.archive.kraken_bulk import KrakenBulk
from lake.sources.archive.kucoin_books import KucoinBooks
from lake.sources.archive.kucoin_files import KucoinFiles
from lake.sources.archive.lean_files import LeanFiles
from lake.sources.archive.mapped_files import MappedFiles
from lake.sources.archive.okx_files import OkxFiles
from lake.sources.archive.recordings import CryptofeedRecordings, HftbacktestRecordings
from lake.sources.archive.spool import SpooledRows
from lake.sources.archive.tardis_files import TardisFiles
from lake.sources.archive.venue_trades import VenueTrades

__all__ = [
    "FORMATS",
    "OTHERS",
    "SUFFIXES",
    "VENDOR",
    "ArchiveFile",
    "ArchiveFormat",
    "Hints",
    "Lot",
    "NotRecognised",
    "SpooledRows",
    "Streamed",
    "recognise",
]

FORMATS: tuple[ArchiveFormat, ...] = (
    # A mapping that the user gives is meant.
    MappedFiles(),
    # Their headers say more than any name.
    TardisFiles(),
    HftbacktestRecordings(),
    CryptofeedRecordings(),
    # KuCoin calls its files as Binance does; other columns tell them apart.
    VenueTrades(),
    GateFiles(),
    OkxFiles(),
    KucoinFiles(),
    KucoinBooks(),
    BitgetTrades(),
    BinanceCandles(),
    BinanceTrades(),
    BinanceFunding(),
    BinanceDepth(),
    KrakenBulk(),
    FreqtradeFiles(),
    LeanFiles(),
    FundingHistories(),
    BybitBooks(),
)
# What a folder is searched for; a file that is named outright may be called anything.
SUFFIXES = tuple(sorted({suffix for reader in FORMATS for suffix in reader.suffixes}))


def recognise(
    path: Path, hints: Hints, formats: Sequence[ArchiveFormat] = FORMATS
) -> Sequence[ArchiveFile]:
    """The series that the file at *path* holds, at least one, by the first that knows it.

    Raises:
        NotRecognised: No reader knows it.
        SourceError: It is damaged, dangerous, or of a data type that is not built yet.
        InvalidRequest: A hint is needed or contradicts the file.
    """
    if not path.is_file():
        raise SourceError(f"{path} is not a file.", retryable=False)
    for reader in formats:
        if (found := reader.recognise(path, hints)) is not None:
            return found
    raise NotRecognised(
        f"{path.name} is not recognised. `lake sources --archives` lists what is, and how such "
        "files are called. For a renamed file say --venue, --instrument and --timeframe; for any "
        "other say what its columns mean with --map (docs/importing.md).",
        retryable=False,
    )
