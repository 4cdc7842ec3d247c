"""A ccxt client that is only transport: bodies come back whole, limits are ours.

ccxt builds and signs requests and classifies errors. What it does badly is replaced here: it
reads HTML, truncated JSON and unknown statuses as an empty answer, keeps one venue-wide
"last headers", and throttles per instance.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
import yarl

from lake.sources.budget import Budget
from lake.sources.decode import refused
from lake.sources.errors import Exchanged, Fault

_USED_WEIGHT = "x-mbx-used-weight-1m"
# The part of an error's body that is kept: bans and codes stand at its start.
_KEPT_CHARS = 2_000
# The longest true answer is Binance's list of instruments, some 20 MB; a thousand trades are
# 150 kB. What unpacks to more than this was made to fill our memory.
MOST_BYTES = 64 << 20
# ccxt's costs are fractions; ours are whole numbers.
COST_SCALE = 100


@dataclass(slots=True)
class Call:
    """One request of ours: how it is to be made, and what came back.

    Attributes:
        weight: What it costs in the venue's count; None takes ccxt's own cost, 0 does not wait
            for the budget.
        raw: Whether the body is wanted as bytes instead of what ccxt makes of it.
        window, spent: Where the budget booked it, and how much.
        parsed: What the last answer's JSON said, where it was not raw.
    """

    weight: int | None = None
    raw: bool = False
    window: int = -1
    spent: int = 0
    parsed: Any = None
    exchanged: Exchanged = field(default_factory=Exchanged)


_CALL: ContextVar[Call | None] = ContextVar("lake_call", default=None)


async def perform(call: Call, method: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Await *method* as *call*: requests made inside it, also by its tasks, belong to it."""
    token = _CALL.set(call)
    try:
        return await method(*args)
    finally:
        _CALL.reset(token)


def connect(
    ccxt_id: str,
    *,
    base_url: str | None,
    budget: Budget,
    timeout_s: float,
    options: Mapping[str, Any],
) -> Any:
    """A ccxt client of this venue whose requests go through *budget*.

    Args:
        ccxt_id: A known ccxt id.
        base_url: Asked instead of the venue's hosts; paths stay the venue's.
        timeout_s: For the whole of one request.
        options: Merged into ccxt's ``options``.
    """
    import ccxt.async_support

    base = getattr(ccxt.async_support, ccxt_id)
    kind = type(f"Lake{ccxt_id.capitalize()}", (_Transport, base), {})
    client = kind(
        {
            "enableRateLimit": True,
            "timeout": round(timeout_s * 1_000),
            "cafile": os.environ.get("SSL_CERT_FILE") or certifi.where(),
            "options": dict(options),
        }
    )
    client.lake_budget = budget
    if base_url is not None:
        client.urls["api"] = _rebase(client.urls["api"], base_url.rstrip("/"))
        if urlsplit(base_url).scheme == "http":
            # The pause lets TLS connections say goodbye; plain ones need none.
            client.timeout_on_exit = 0
    return client


def _rebase(urls: Any, base_url: str) -> Any:
    if isinstance(urls, dict):
        return {name: _rebase(each, base_url) for name, each in urls.items()}
    return base_url + urlsplit(urls).path if isinstance(urls, str) else urls


@cache
def _proxy(scheme: str, netloc: str) -> str | None:
    """The proxy that the environment names for a host (HTTPS_PROXY, NO_PROXY).

    aiohttp's own reading of the environment costs two thread switches a request.
    """
    host = netloc.rpartition("@")[2]
    if host.startswith(("127.", "localhost", "[::1]")) or proxy_bypass(host):
        return None
    return getproxies().get(scheme)


class _Transport:
    """Mixed in front of a ccxt class; see the module's docstring."""

    lake_budget: Budget
    lake_timeout: aiohttp.ClientTimeout | None = None

    async def throttle(self, cost: float | None = None) -> None:
        call = _CALL.get() or Call()
        if call.weight is not None:
            weight = call.weight
        else:
            weight = max(1, round((1.0 if cost is None else cost) * COST_SCALE))
        if weight:
            call.window = await self.lake_budget.spend(weight)
            call.spent = weight

    async def fetch2(
        self: Any,
        path: str,
        api: Any = "public",
        method: str = "GET",
        params: Any = None,
        config: Any = None,
    ) -> Any:
        call = _CALL.get()
        if call is None or not call.raw:
            return await super().fetch2(path, api, method, params or {}, config or {})  # type: ignore[misc]
        # The short way for the requests that come by the thousand.
        cost = None
        if call.weight is None:
            cost = self.calculate_rate_limiter_cost(api, method, path, params or {}, config or {})
        await self.throttle(cost)
        request = self.sign(path, api, method, params or {})
        return await self.fetch(
            request["url"], request["method"], request["headers"], request["body"]
        )

    async def fetch(
        self: Any, url: str, method: str = "GET", headers: Any = None, body: Any = None
    ) -> Any:
        from ccxt.base.errors import ExchangeNotAvailable, NetworkError, RequestTimeout

        call = _CALL.get() or Call()
        sent = self.prepare_request_headers(headers)
        self.open(True)
        if self.lake_timeout is None:
            limit = self.timeout / 1_000
            self.lake_timeout = aiohttp.ClientTimeout(
                total=limit, sock_connect=limit, sock_read=limit
            )
        exchanged = call.exchanged = Exchanged()
        try:
            async with self.session.request(
                method,
                yarl.URL(url, encoded=True),
                data=body.encode() if isinstance(body, str) else body,
                headers=sent,
                timeout=self.lake_timeout,
                proxy=_proxy(*urlsplit(url)[:2]),
            ) as response:
                exchanged.status = response.status
                exchanged.headers = {name.lower(): text for name, text in response.headers.items()}
                content = await _read(response)
        except socket.gaierror as error:
            raise ExchangeNotAvailable(f"no such host: {url}") from error
        except TimeoutError as error:
            raise RequestTimeout(f"no answer within {self.timeout / 1_000:g} s") from error
        except aiohttp.ClientConnectionError as error:
            raise ExchangeNotAvailable(str(error)) from error
        except aiohttp.ClientError as error:
            # ccxt calls these a bare ExchangeError, as if the venue had refused the request.
            raise NetworkError(f"the answer broke off: {error}") from error
        finally:
            used = exchanged.headers.get(_USED_WEIGHT, "")
            self.lake_budget.answered(
                call.spent, call.window, int(used) if used.isdigit() else None
            )
        # ccxt sends several requests at once in one call: what is judged is this one's answer.
        call.exchanged = exchanged
        if call.raw and exchanged.status == 200 and not content.startswith(b"{"):
            return content
        return self._lake_read(call, url, method, sent, body, content, response.reason or "")

    def _lake_read(
        self: Any,
        call: Call,
        url: str,
        method: str,
        sent: Any,
        body: Any,
        content: bytes,
        reason: str,
    ) -> Any:
        """What ccxt makes of an answer, with a refusal of all that is no answer at all."""
        from ccxt.base.errors import ExchangeNotAvailable

        exchanged, status = call.exchanged, call.exchanged.status
        text = content.decode("utf-8", "replace")
        if status != 200:
            exchanged.text = text[:_KEPT_CHARS]
        # ccxt's handlers look headers up by the spelling that venues use.
        headers = {name.title(): value for name, value in exchanged.headers.items()}
        text = self.on_rest_response(status, reason, url, method, headers, text, sent, body)
        parsed = self.parse_json(text)
        if status == 200 and parsed == {}:
            # ccxt takes the lack of a code (bybit, okx) for a final refusal.
            raise refused(content, "holds nothing")
        try:
            self.handle_errors(status, reason, url, method, headers, text, parsed, sent, body)
        except Exception:
            # Some venues refuse with status 200, and the code says whether it passes.
            exchanged.text = text[:_KEPT_CHARS]
            raise
        self.handle_http_status_code(status, reason, url, method, text)
        assert status is not None
        if not 200 <= status < 300:
            raise ExchangeNotAvailable(f"HTTP {status} {reason} {text[:200]}")
        if parsed is None:
            raise refused(content, "is not JSON")
        call.parsed = parsed
        return content if call.raw else parsed


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, unpacked.

    Raises:
        Fault: It is longer than any answer; the rest of it is not read.
    """
    parts: list[bytes] = []
    size = 0
    # Unpacked piece by piece: a few kilobytes of gzip may stand for gigabytes.
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise Fault(
                f"{response.url.host} sent an answer of more than {MOST_BYTES >> 20} MiB, which "
                "no answer is; the rest was not read. Is the --base-url or the proxy right?",
                retryable=True,
                tries=2,
            )
    return b"".join(parts)


async def close(client: Any) -> None:
    """Release everything that *client* holds open."""
    await client.close()
    # aiohttp closes its sockets in callbacks of the next turns of the loop.
    await asyncio.sleep(0)
