"""Request weights: counted by clock minute, refused with 429, then banned with 418."""

from __future__ import annotations

from typing import Any

import ccxt.async_support as ccxt
import pytest

from lake.simulator.limits import REFUSALS_BEFORE_BAN, Outcome, WeightLimit
from lake.simulator.wire import APIS
from tests.box import BoxThread
from tests.simulator.test_server import KLINES, get, through_ccxt

MINUTE = 60_000


def test_weights_count_by_clock_minute() -> None:
    """The window is the venue's clock minute, not sixty seconds since the first request."""
    weight = WeightLimit(10)

    taken = [weight.take(4, now_ms=59_000).used, weight.take(4, now_ms=59_999).used]
    after = weight.take(4, now_ms=60_000)

    assert taken == [4, 8]
    assert (after.outcome, after.used) == (Outcome.ANSWER, 4)


def test_the_limit_itself_may_be_used() -> None:
    """All of it is answered; one more is refused until the minute is over."""
    weight = WeightLimit(10)

    full = weight.take(10, now_ms=15_000)
    over = weight.take(1, now_ms=15_500)

    assert full.outcome is Outcome.ANSWER
    assert (over.outcome, over.used, over.retry_after_s) == (Outcome.REFUSE, 11, 45)


def test_going_on_after_429_is_banned_for_longer_each_time() -> None:
    """Two minutes first, then four; the ban outlasts the minute and then ends."""
    weight = WeightLimit(10)
    weight.take(10, now_ms=0)

    def spam(now_ms: int) -> list[Outcome]:
        return [weight.take(1, now_ms=now_ms).outcome for _ in range(REFUSALS_BEFORE_BAN + 1)]

    outcomes = spam(1_000)
    banned = weight.take(1, now_ms=61_000)
    free = weight.take(10, now_ms=121_000)
    again = spam(121_500)
    longer = weight.take(1, now_ms=122_000)

    assert outcomes == [Outcome.REFUSE] * REFUSALS_BEFORE_BAN + [Outcome.BAN]
    assert (banned.outcome, banned.banned_until_ms) == (Outcome.BAN, 121_000)
    assert banned.retry_after_s == 60
    assert free.outcome is Outcome.ANSWER
    assert again[-1] is Outcome.BAN
    assert longer.banned_until_ms == 121_500 + 240_000


def test_a_stranger_on_the_address_uses_weight_too() -> None:
    """Half of the limit goes to somebody else, evenly over the minute, and shows in the header."""
    weight = WeightLimit(100)
    weight.stranger = 50

    assert weight.take(10, now_ms=30_000).used == 35
    assert weight.take(10, now_ms=59_999).used == 69
    assert weight.take(50, now_ms=59_999).outcome is Outcome.REFUSE


@pytest.mark.parametrize(
    ("api", "limits", "weights"),
    [
        (0, [1, 500, 1_000], [2, 2, 2]),
        (1, [1, 99, 100, 499, 500, 1_000, 1_001, 1_500], [1, 1, 2, 2, 5, 5, 10, 10]),
        (2, [99, 499, 1_000, 1_500], [1, 2, 5, 10]),
    ],
)
def test_klines_weigh_what_binance_says(api: int, limits: list[int], weights: list[int]) -> None:
    """Spot 2 whatever the limit; futures by the number of rows asked for."""
    assert [APIS[api].klines_weight(limit) for limit in limits] == weights


def test_headers_tell_the_used_weight(box: BoxThread) -> None:
    """Spot names both headers, futures one; the numbers add up over requests."""
    query = {"symbol": "BTCUSDT", "interval": "1m", "limit": 1}

    get(box, "/api/v3/exchangeInfo")
    _, _, spot = get(box, KLINES, **query)
    get(box, "/fapi/v1/exchangeInfo")
    _, _, futures = get(box, "/fapi/v1/klines", **query | {"limit": 1_500})

    assert (spot["X-MBX-USED-WEIGHT"], spot["X-MBX-USED-WEIGHT-1M"]) == ("22", "22")
    assert futures["X-MBX-USED-WEIGHT-1M"] == "11"
    assert "X-MBX-USED-WEIGHT" not in futures


def test_429_and_418_as_ccxt_sees_them(box: BoxThread) -> None:
    """Both are DDoSProtection; Retry-After and the end of the ban are in the answer."""
    box.control("clock", now="2024-01-31T10:20:30")
    box.control("limits", limit=30)

    async def work(exchange: Any) -> list[tuple[str, str, str]]:
        seen = []
        await exchange.load_markets()
        for _ in range(6 + REFUSALS_BEFORE_BAN):
            try:
                await exchange.publicGetKlines({"symbol": "BTCUSDT", "interval": "1m"})
                kind = "rows"
                message = ""
            except ccxt.DDoSProtection as error:
                kind, message = type(error).__name__, str(error)
            wait = exchange.last_response_headers.get("Retry-After", "")
            seen.append((kind, wait, message))
        return seen

    seen = through_ccxt(box, "binance", work)
    state = box.state()["weights"]["spot"]
    box.control("limits", limit=6_000)

    assert [kind for kind, _, _ in seen[:5]] == ["rows"] * 5
    assert seen[5][1] == "30"
    assert "Too much request weight used; current limit is" in seen[5][2]
    until = 1_706_696_550_000  # two minutes after 10:20:30
    assert seen[-1][1] == "120"
    assert f"IP banned until {until}" in seen[-1][2]
    assert (state["refused"], state["bans"]) == (REFUSALS_BEFORE_BAN + 1, 1)


def test_without_limits_everything_is_answered(box: BoxThread) -> None:
    """`--no-limits` counts weights and refuses nothing."""
    box.control("limits", enforced=False, limit=10)

    answers = [get(box, "/api/v3/exchangeInfo")[0] for _ in range(5)]

    box.control("limits", enforced=True, limit=6_000)
    assert answers == [200] * 5
