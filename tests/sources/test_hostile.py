"""A server that answers nonsense on purpose: refused in our words, and in bounded memory."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from lake.domain.identifiers import Venue
from lake.errors import SourceError
from lake.sources.answers import Retry
from lake.sources.budget import LONGEST_BAN_S, MemoryLedger
from lake.sources.ccxt_source import CcxtSource
from lake.sources.errors import retry_after_s

BINANCE = Venue("BINANCE")
NOW_MS = 1_704_067_200_000
NO_DATE = {"Date": "soon"}
Answer = Callable[[], web.Response]


def told(value: Any, **headers: str) -> web.Response:
    return web.Response(
        text=json.dumps(value), content_type="application/json", headers=NO_DATE | headers
    )


@asynccontextmanager
async def served(
    *, time: Answer | None = None, info: Answer | None = None, attempts: int = 3
) -> AsyncIterator[CcxtSource]:
    """A connection to a server that says these things."""

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("time"):
            return told({"serverTime": NOW_MS}) if time is None else time()
        return told({}) if info is None else info()

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        source = await CcxtSource.open(
            BINANCE,
            base_url=f"http://127.0.0.1:{runner.addresses[0][1]}",
            ledger=MemoryLedger(),
            retry=Retry(attempts=attempts, base_s=0),
        )
        try:
            yield source
        finally:
            await source.close()
    finally:
        await runner.cleanup()


async def _opened(**answers: Answer) -> None:
    async with served(**answers):
        pass


async def _listed(**answers: Answer) -> float:
    """Lists the instruments; the weight limit that was taken over."""
    async with served(**answers) as source:
        await source.instruments()
        limit = source._line.budget.limit
        return 0.0 if limit is None else limit.weight


def test_a_bomb_is_not_unpacked() -> None:
    """Half a gigabyte of zeros fits into two megabytes of gzip."""
    bomb = gzip.compress(bytes(1 << 29), 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def time() -> web.Response:
        return web.Response(
            body=bomb,
            headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
        )

    with pytest.raises(SourceError, match="more than 64 MiB"):
        asyncio.run(_opened(time=time))

    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 256 << (20 if sys.platform == "darwin" else 10)


@pytest.mark.parametrize("time", [10**18, 10**40, -1, 0, True, "now", 1e308, 1_704_067_200])
def test_a_time_that_no_venue_can_be_at_is_refused(time: Any) -> None:
    """Also where there is no Date to compare it with."""
    with pytest.raises(SourceError, match="it answered"):
        asyncio.run(_opened(time=lambda: told({"serverTime": time})))


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_no_time(literal: str) -> None:
    text = f'{{"serverTime": {literal}}}'

    with pytest.raises(SourceError):
        asyncio.run(_opened(time=lambda: web.Response(text=text, content_type="application/json")))


@pytest.mark.parametrize(
    "limits",
    [
        None,
        7,
        "many",
        [None, 3, []],
        [{"rateLimitType": "REQUEST_WEIGHT"}],
        [{"rateLimitType": "REQUEST_WEIGHT", "limit": "many"}],
        [{"rateLimitType": "REQUEST_WEIGHT", "limit": -5}],
        [{"rateLimitType": "REQUEST_WEIGHT", "limit": 0}],
        [{"rateLimitType": "REQUEST_WEIGHT", "limit": 1e9}],
        [{"rateLimitType": "REQUEST_WEIGHT", "limit": 10**30}],
        [{"rateLimitType": "REQUEST_WEIGHT", "limit": 100, "intervalNum": 0}],
        [{"rateLimitType": "REQUEST_WEIGHT", "limit": 100, "intervalNum": None}],
        [{"rateLimitType": "REQUEST_WEIGHT", "limit": 100, "interval": "DAY", "intervalNum": 99}],
    ],
)
def test_a_rate_limit_that_makes_no_sense_leaves_the_known_one(limits: Any) -> None:
    """Without any the venue would be asked as fast as it answers, and ban us."""
    info = {"symbols": [], "rateLimits": limits}

    assert asyncio.run(_listed(info=lambda: told(info))) == 6_000


def test_a_rate_limit_is_taken_over() -> None:
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
    info = {"symbols": [], "rateLimits": [limit | {"limit": 1_200}]}

    assert asyncio.run(_listed(info=lambda: told(info))) == 1_200
    assert asyncio.run(_listed(info=lambda: told({"symbols": [], "rateLimits": []}))) == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("1e9", 1e9),
        ("inf", None),
        ("-inf", None),
        ("nan", None),
        ("-3", None),
        ("", None),
        ("soon", None),
        ("Tue, 15 Nov 1994 08:12:31 +" + "9" * 30, None),
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
    ],
)
def test_a_retry_after_is_a_number_of_seconds_or_nothing(value: str, seconds: float | None) -> None:
    assert retry_after_s(value, "Mon, 01 Jan 2024 00:00:00 GMT") == seconds


def test_a_retry_after_date_counts_from_the_date_of_the_answer() -> None:
    """Whatever the zone of this machine; one without a zone means UTC."""
    for zone in ("GMT", "-0000"):
        after = f"Mon, 01 Jan 2024 00:01:30 {zone}"
        assert retry_after_s(after, "Mon, 01 Jan 2024 00:00:00 GMT") == 90.0


@pytest.mark.parametrize("after", ["inf", "nan", "-1", "1e300", "soon"])
def test_a_ban_is_never_longer_than_the_longest_there_is(after: str) -> None:
    """A nonsense number must not shut the venue off for this lake until it is deleted."""

    async def banned() -> float:
        def info() -> web.Response:
            answer = told({"code": -1003}, **{"Retry-After": after})
            answer.set_status(429)
            return answer

        async with served(info=info, attempts=1) as source:
            with pytest.raises(SourceError):
                await source.instruments()
            line = source._line
            return line.budget._resume_s - line.clock.likely_s()

    assert asyncio.run(banned()) <= LONGEST_BAN_S
