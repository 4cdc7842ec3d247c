"""What a failed request means: every fault on the wire becomes a ``SourceError``.

The table is facts/venues.md section 2.3: ccxt's own classes are not enough, because it gives
one class to what passes (5xx) and to what does not (451), and bare errors to short bodies.
"""

from __future__ import annotations

import importlib
import math
import re
import socket
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache

import aiohttp

from lake.domain.times import epoch_us, from_us, to_us, utc
from lake.errors import SourceError

# One try may have met a passing proxy; a second refusal is the venue's answer.
_TRIES_WHEN_REFUSED = 2
# Load balancers lose a path for a moment now and then; a wrong address stays wrong.
_TRIES_WHEN_ABSENT = 4
_BAN_END = re.compile(r"banned until (\d{10,16})")
# Codes that ccxt gives a bare ExchangeError and that pass: bybit's 10016 (internal error),
# 10000 (timeout), 10006 (too many visits).
_PASSING_CODES = re.compile(r'"(?:retCode|ret_code|code)"\s*:\s*"?(?:10000|10006|10016)\b')


class Fault(SourceError):
    """One failed request, with how often in all the same request may be sent.

    Attributes:
        tries: The bound, or None where only the retry policy bounds it.
        resume_at: The venue's time from which requests are welcome again.
        slow_down: Whether it is about our rate, so that all workers have to pause.
        unreachable: Whether no connection came about at all.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool,
        retry_after_s: float | None = None,
        tries: int | None = None,
        resume_at: datetime | None = None,
        slow_down: bool = False,
        unreachable: bool = False,
    ) -> None:
        super().__init__(message, retryable=retryable, retry_after_s=retry_after_s)
        self.tries = tries
        self.resume_at = resume_at
        self.slow_down = slow_down
        self.unreachable = unreachable


@dataclass(slots=True)
class Exchanged:
    """What one request got back, kept per call: concurrent calls never see one another's."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""

    def header(self, name: str) -> str | None:
        """A header by its lower-cased name."""
        return self.headers.get(name)


def classify(error: BaseException, exchanged: Exchanged, what: str) -> SourceError:
    """The error for *what*, from what ccxt raised and what the wire gave."""
    if isinstance(error, SourceError):
        return error
    status, reason = exchanged.status, _first_line(error)
    if status in (418, 429):
        return _slow_down(exchanged, what, reason)
    if status == 451:
        return Fault(
            f"{what}: the venue does not serve this region (HTTP 451). Use a venue that "
            "does (BINANCE has BINANCEUS), a proxy you may use (HTTPS_PROXY), or take "
            "the rows from the vendor's archive alone (--source archive, or `lake import`).",
            retryable=False,
            tries=_TRIES_WHEN_REFUSED,
        )
    if status == 403 and not _passes(exchanged):
        return Fault(
            f"{what}: the venue's firewall refused us (HTTP 403). Wait, lower --rate-share, or "
            "use another network address; asking again at once makes it worse.",
            retryable=False,
            tries=_TRIES_WHEN_REFUSED,
        )
    if isinstance(error, _ccxt_errors("RateLimitExceeded", "DDoSProtection")):
        return _slow_down(exchanged, what, reason)
    if status == 404:
        return Fault(
            f"{what}: not found there (HTTP 404). Is the --base-url right? {reason}",
            retryable=False,
            tries=_TRIES_WHEN_ABSENT,
        )
    if status is not None and status >= 500:
        return Fault(f"{what}: the venue failed (HTTP {status}): {reason}", retryable=True)
    if isinstance(error, _ccxt_errors("BadSymbol")):
        return Fault(
            f"{what}: the venue does not know this symbol: {reason} "
            "`lake instruments` lists what it has.",
            retryable=False,
        )
    if isinstance(error, _ccxt_errors("NotSupported", "BadRequest", "ArgumentsRequired")):
        return Fault(f"{what}: the venue refused the request: {reason}", retryable=False)
    if isinstance(error, _ccxt_errors("AuthenticationError")):
        return Fault(
            f"{what}: the venue wants a key or refuses this one: {reason} Public data needs "
            "none; check the key in the environment.",
            retryable=False,
        )
    if isinstance(error, _ccxt_errors("BaseError")) and _is_final(error, exchanged):
        return Fault(f"{what}: {reason}", retryable=False)
    if _is_unreachable(error):
        return Fault(
            f"{what}: no connection: {reason} Check the network, HTTPS_PROXY and --base-url. "
            "What was stored stays.",
            retryable=True,
            unreachable=True,
        )
    # Broken connections, timeouts, short bodies, maintenance, garbled answers: these pass.
    return Fault(f"{what}: {reason}", retryable=True)


def _slow_down(exchanged: Exchanged, what: str, reason: str) -> Fault:
    ban = _BAN_END.search(exchanged.text) or _BAN_END.search(reason)
    until = from_us(epoch_us(int(ban[1]))) if ban else None
    after = retry_after_s(exchanged.header("retry-after"), exchanged.header("date"))
    told = f" until {until}" if until else f" for {after:g} s" if after else ""
    kind = "banned this address" if exchanged.status == 418 else "asked us to slow down"
    return Fault(
        f"{what}: the venue {kind}{told}. What was stored stays; start again to continue.",
        retryable=True,
        retry_after_s=after,
        resume_at=until,
        slow_down=True,
    )


def retry_after_s(value: str | None, date: str | None = None) -> float | None:
    """Seconds of a Retry-After header, a number or an HTTP date; None where absent or neither.

    Args:
        value: The header.
        date: The answer's own Date header, against which an HTTP date is counted.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        resume_s, sent_s = http_date_s(value), http_date_s(date)
        return None if resume_s is None or sent_s is None else max(0.0, resume_s - sent_s)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def http_date_s(text: str | None) -> float | None:
    """The moment of an HTTP date, seconds since 1970; None where it is absent or none."""
    try:
        return None if text is None else to_us(utc(parsedate_to_datetime(text))) / 1_000_000
    except (ValueError, OverflowError):
        return None


def _is_final(error: BaseException, exchanged: Exchanged) -> bool:
    """Whether a ccxt error that is neither network nor limits will come back unchanged."""
    if isinstance(error, _ccxt_errors("OperationFailed", "BadResponse", "NullResponse")):
        return False
    if error.__cause__ is not None and not isinstance(error.__cause__, _ccxt_errors("BaseError")):
        # A short body arrives as a bare ExchangeError whose cause is aiohttp's.
        return False
    return not _passes(exchanged)


def _is_unreachable(error: BaseException) -> bool:
    cause = error.__cause__
    return isinstance(cause, socket.gaierror | aiohttp.ClientConnectorError)


def _passes(exchanged: Exchanged) -> bool:
    return _PASSING_CODES.search(exchanged.text) is not None


@cache
def _ccxt_errors(*names: str) -> tuple[type[BaseException], ...]:
    # ccxt puts lists of its own over the names of its modules, so the import system is asked.
    module = importlib.import_module("ccxt.base.errors")
    return tuple(getattr(module, name) for name in names)


def _first_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."
