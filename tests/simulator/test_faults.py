"""Every fault, one by one, as the real ccxt client sees it (facts/venues.md, 2.3)."""

from __future__ import annotations

import json
from typing import Any

import ccxt.async_support as ccxt
import pytest

from lake.errors import InvalidRequest
from lake.simulator.faults import FAULTS, Answer, FaultPlan, Planned
from tests.box import BoxThread
from tests.simulator.test_server import KLINES, get, klines, ms, through_ccxt
from tests.simulator.test_server import START as DATA_START

START = ms(DATA_START)
# What ccxt's raw endpoint raises, or the kind of value it hands over as if all were well.
RAISED = {
    "http_429": "DDoSProtection",
    "http_418": "DDoSProtection",
    "code_1003": "RateLimitExceeded",
    "http_403": "ExchangeNotAvailable",
    "http_451": "ExchangeNotAvailable",
    "http_404": "ExchangeNotAvailable",
    "http_400_html": "ExchangeNotAvailable",
    "http_500": "ExchangeNotAvailable",
    "http_502": "ExchangeNotAvailable",
    "http_503": "ExchangeNotAvailable",
    "http_503_json": "OperationFailed",
    "http_504": "RequestTimeout",
    "http_408": "RequestTimeout",
    "http_520": "ExchangeNotAvailable",
    "bad_symbol": "BadSymbol",
    "illegal_character": "BadRequest",
    "bad_combination": "BadRequest",
    "short_body": "ExchangeError",
    "hang": "RequestTimeout",
    # aiohttp sends a GET once more by itself, so that only the second failure shows.
    "reset": "ExchangeNotAvailable",
    "closed": "ExchangeNotAvailable",
}
NOT_A_LIST = {
    "http_524",
    "html",
    "truncated_json",
    "truncated_octets",
    "empty_body",
    "null",
    "empty_object",
    "text",
    "bare_nan",
    "nan",
    "infinite",
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_reaches_ccxt_as_the_facts_say(box: BoxThread, name: str) -> None:
    """Loud ones raise, silent ones hand over something that only checking can refuse."""
    # Load markets first, then the fault: twice, because aiohttp repeats a GET once.
    box.control("faults", queue=[{"fault": name, "count": 2}])

    async def work(exchange: Any) -> Any:
        await exchange.load_markets()
        query = {"symbol": "BTCUSDT", "interval": "1m", "startTime": START, "limit": 20}
        try:
            return await exchange.publicGetKlines(query)
        except ccxt.BaseError as error:
            return type(error).__name__

    got = through_ccxt(box, "binance", work, timeout=500 if name == "hang" else 5_000)

    if name in RAISED:
        assert got == RAISED[name]
    elif name in NOT_A_LIST:
        assert not isinstance(got, list)
    else:
        assert isinstance(got, list)
    assert box.state()["faults"][name] >= 1


ROWS = [
    [60_000 * minute, "1.0", "2.0", "0.5", "1.5", "3.0", 60_000 * minute + 59_999, "4.0", 5]
    for minute in range(1, 21)
]


def spoiled(name: str, seed: int = 0) -> list[Any]:
    """ROWS after one fault, on a minute grid that begins at 1."""
    plan = FaultPlan(seed=seed, queue=[Planned(name)])
    answer = Answer(200, json.dumps(ROWS).encode())
    body = plan.apply(answer, path=KLINES, query="", now_ms=0).body
    rows: list[Any] = json.loads(body)
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_row_faults_do_what_they_say(seed: int) -> None:
    """Each one breaks exactly one promise of a list of candles."""
    times = [row[0] for row in ROWS]

    assert len(spoiled("duplicate_row", seed)) == 21
    assert sorted({row[0] for row in spoiled("duplicate_row", seed)}) == times
    holes = [row[0] for row in spoiled("short_list", seed)]
    assert set(holes) < set(times)
    assert [row[0] for row in spoiled("short_tail", seed)] == times[
        : len(spoiled("short_tail", seed))
    ]
    assert len(spoiled("short_tail", seed)) < 20
    assert len(spoiled("short_head", seed)) < 20
    assert spoiled("empty_list", seed) == []
    assert spoiled("future_row", seed)[-1][0] > times[-1] + 86_400_000
    assert spoiled("microseconds", seed)[0][0] == 60_000_000
    assert spoiled("seconds", seed)[0][0] == 60
    assert sum(len(row) < 9 for row in spoiled("short_row", seed)) == 1
    assert sum(row[3].startswith("-") for row in spoiled("negative", seed)) == 1
    assert sum(row[0] is None for row in spoiled("null_time", seed)) == 1
    assert sum(row[2] != row[2] for row in spoiled("nan", seed)) == 1


def test_random_faults_depend_on_the_request_not_on_the_order() -> None:
    """The n-th answer to one request has one fate under a seed, however requests interleave."""
    asked = [f"startTime={start}" for start in range(200)]

    def fates(queries: list[str], seed: int) -> dict[str, bytes]:
        plan = FaultPlan(rate=0.4, seed=seed)
        true = Answer(200, json.dumps(ROWS).encode())
        return {
            query: plan.apply(true, path=KLINES, query=query, now_ms=0).body for query in queries
        }

    forward, backward = fates(asked, 1), fates(asked[::-1], 1)

    assert forward == backward
    assert forward != fates(asked, 2)
    true = json.dumps(ROWS).encode()
    assert 40 < sum(body != true for body in forward.values()) < 110


def test_every_transient_fault_comes_up() -> None:
    """At 40 % all of them are drawn sooner or later, and no permanent one ever is."""
    plan = FaultPlan(rate=0.4, seed=3)
    true = Answer(200, json.dumps(ROWS).encode())

    for number in range(3_000):
        plan.apply(true, path=KLINES, query=str(number), now_ms=0)

    assert set(plan.given) == {name for name, fault in FAULTS.items() if fault.transient}
    assert 0.35 < sum(plan.given.values()) / 3_000 < 0.45


def test_other_answers_are_spoiled_without_rows() -> None:
    """exchangeInfo and time fail in the ways that any answer can."""
    plan = FaultPlan(rate=1.0, seed=3)

    for number in range(500):
        plan.apply(Answer(200, b"{}"), path="/api/v3/time", query=str(number), now_ms=0)

    assert plan.given
    assert not any(FAULTS[name].needs_rows for name in plan.given)


def test_a_burst_comes_when_it_is_planned(box: BoxThread) -> None:
    """Two true answers, three refusals that say how long to wait, then the truth again."""
    planned = {"fault": "http_429", "count": 3, "after": 2, "retry_after_s": 7}
    box.control("faults", queue=[planned])
    query = {"symbol": "BTCUSDT", "interval": "1m", "limit": 1}

    got = [get(box, **query) for _ in range(6)]

    assert [status for status, _, _ in got] == [200, 200, 429, 429, 429, 200]
    assert got[2][2]["Retry-After"] == "7"


def test_an_outage_of_the_server_follows_the_clock(box: BoxThread) -> None:
    """While the clock is inside, every answer is 503; before and after, none."""
    ranges = [{"start": "2024-01-31T10:00", "end": "2024-01-31T10:05"}]
    box.control("outages", ranges=ranges)
    seen = []
    for moment in ("2024-01-31T09:59:59", "2024-01-31T10:00", "2024-01-31T10:05"):
        box.control("clock", now=moment)
        with_body = through_ccxt(box, "binance", _time)
        seen.append(with_body)

    assert seen == [True, False, True]


async def _time(exchange: Any) -> bool:
    try:
        await exchange.publicGetTime()
    except ccxt.ExchangeNotAvailable:
        return False
    return True


def test_what_was_asked_can_be_read_back(box: BoxThread) -> None:
    """Tests see every request with its moment and status, and the number of candles given."""
    klines(box, limit=3)

    [asked] = box.requests()

    assert asked["path"] == KLINES
    assert "limit=3" in asked["query"]
    assert asked["status"] == 200
    assert box.state()["candles"] == 3


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("faults", {"rate": 2}),
        ("faults", {"kinds": ["nonsense"]}),
        ("faults", {"queue": [{"fault": "nonsense"}]}),
        ("faults", {"rat": 0.1}),
        ("clock", {"now": "yesterday"}),
        ("nonsense", {}),
        ("lag", {}),
    ],
)
def test_wrong_orders_are_refused(box: BoxThread, name: str, body: dict[str, Any]) -> None:
    """A mistyped control call fails loudly instead of testing nothing."""
    with pytest.raises(ValueError, match=r"Error|InvalidRequest"):
        box.control(name, **body)


def test_a_rate_is_a_share() -> None:
    """Not a percentage."""
    with pytest.raises(InvalidRequest, match="not a share"):
        FaultPlan(rate=40)
