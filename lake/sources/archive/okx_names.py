"""Reads the names of OKX's bulk files: which instrument, and which hours of UTC. Pure.

Its days and months are those of UTC+8: `BTC-USDT-candlesticks-2024-05-20` begins at 16:00 UTC on
the 19th. So says OKX's page (okx.com/en-us/historical-data, in Loothore907/tidelab), and so do
those who checked the times in the files (read 2026-11-29).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from lake.domain.ranges import TimeRange
from lake.errors import InvalidRequest
from lake.sources.archive.instruments import expiring

_AHEAD = timedelta(hours=8)


def symbol_of_native(path: Path, native: str) -> str:
    """The ccxt symbol of what OKX calls *native*: spot, or a perpetual.

    Raises:
        SourceError: It is a contract with an end.
    """
    base, quote, *term = native.split("-")
    if term not in ([], ["SWAP"]):
        raise expiring(path.name, native)
    return f"{base}/{quote}:{base if quote == 'USD' else quote}" if term else f"{base}/{quote}"


def promised(path: Path, text: str) -> TimeRange:
    """The day (``2024-05-20``) or month (``2024-05``) of UTC+8 that *text* says, in UTC.

    Raises:
        InvalidRequest: There is no such day.
    """
    is_month = text.count("-") == 1
    try:
        start = datetime.fromisoformat(f"{text}-01" if is_month else text)
        end = (start + timedelta(days=32)).replace(day=1) if is_month else start + timedelta(days=1)
        return TimeRange(start - _AHEAD, end - _AHEAD)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"{path.name} names a day that does not exist.") from error
