"""Faults of trades, books and funding: each breaks one promise, and none goes unseen."""

from __future__ import annotations

import http.client
import json
import math
from typing import Any

import pytest
from box import BoxThread

from lake.simulator.faults import FAULTS, Answer, FaultPlan, Planned
from tests.simulator.test_server import get

TRADES = [
    {"a": number, "p": "1.5", "q": "3.0", "f": number, "l": number, "T": 10**6 * number, "m": True}
    for number in range(1, 21)
]
FUNDING = [
    {"symbol": "X", "fundingTime": 10**6 * number, "fundingRate": "-0.0001"}
    for number in range(1, 21)
]
LEVELS = [[f"{100 - number}.0", "2.0"] for number in range(20)]
SPOT_BOOK = {"lastUpdateId": 5, "bids": LEVELS, "asks": LEVELS}
BOOK = {"lastUpdateId": 5, "E": 10**9, "T": 10**9, "bids": LEVELS, "asks": LEVELS}
ROW_FAULTS = [name for name, fault in FAULTS.items() if fault.needs_rows]


def spoiled(name: str, path: str, body: Any, seed: int = 0) -> Any:
    plan = FaultPlan(seed=seed, queue=[Planned(name, path="")])
    answer = Answer(200, json.dumps(body, separators=(",", ":")).encode())
    return json.loads(plan.apply(answer, path=path, query="", now_ms=0).body)


@pytest.mark.parametrize("seed", range(10))
def test_faults_of_trades_do_what_they_say(seed: int) -> None:
    """One promise of a list of aggregates each; the row from the future continues the ids."""

    def of(name: str) -> Any:
        return spoiled(name, "/api/v3/aggTrades", TRADES, seed)

    ids = [row["a"] for row in TRADES]
    assert sorted({row["a"] for row in of("duplicate_row")}) == ids
    assert len(of("duplicate_row")) == 21
    assert {row["a"] for row in of("short_list")} < set(ids)
    assert [row["a"] for row in of("short_tail")] == ids[: len(of("short_tail"))]
    assert len(of("short_tail")) < 20
    assert [row["a"] for row in of("short_head")] == ids[-len(of("short_head")) or 20 :]
    assert of("empty_list") == []
    assert of("microseconds")[0]["T"] == 10**9
    assert of("seconds")[0]["T"] == 10**3
    assert of("future_row")[-1]["a"] == 21
    assert of("future_row")[-1]["T"] > 10**10
    assert sum("q" not in row for row in of("short_row")) == 1
    assert sum(row["p"] is None for row in of("null_price")) == 1
    assert sum(row["T"] is None for row in of("null_time")) == 1
    assert sum(math.isnan(float(row["q"])) for row in of("nan")) == 1
    assert sum(row["p"].startswith("-") for row in of("negative")) == 1


@pytest.mark.parametrize("name", ROW_FAULTS)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/fapi/v1/fundingRate", FUNDING),
        ("/fapi/v1/depth", BOOK),
        ("/api/v3/depth", SPOT_BOOK),
        ("/api/v3/aggTrades", TRADES),
    ],
)
def test_a_fault_changes_the_answer_or_does_not_apply(
    path: str, body: Any, name: str, seed: int
) -> None:
    """Nothing that a fault was given for is silently true; what cannot fail so stays whole."""
    got = spoiled(name, path, body, seed)

    timeless = path == "/api/v3/depth" and FAULTS[name].needs_times
    unseen = isinstance(body, dict) and not FAULTS[name].fits_books
    assert (got == body) == (timeless or unseen)


def test_books_are_never_merely_shortened() -> None:
    """A client could not tell a book of fewer levels from a true one."""
    plan = FaultPlan(rate=1.0, seed=1)
    body = json.dumps(BOOK, separators=(",", ":")).encode()

    for number in range(800):
        plan.apply(Answer(200, body), path="/fapi/v1/depth", query=str(number), now_ms=0)

    assert not {"short_list", "short_tail", "short_head"} & plan.given.keys()
    assert {"duplicate_row", "negative", "future_row", "empty_list"} <= plan.given.keys()


@pytest.mark.parametrize("seed", range(3))
def test_a_strict_walk_by_id_survives_forty_percent_faults(full_box: BoxThread, seed: int) -> None:
    """Ids that follow one another are enough to refuse every fault, short lists among them."""
    true = _walk(full_box, 0)
    full_box.control("faults", rate=0.4, seed=seed)

    walked = _walk(full_box, 3_000)

    assert walked == true[: len(walked)]
    assert len(walked) == 3_000
    assert len(full_box.state()["faults"]) > 5


def _walk(box: BoxThread, stop: int) -> list[Any]:
    """Trades 1 to *stop* (0: to 3,000, plainly), asking again whatever cannot be true."""
    rows: list[Any] = []
    for _ in range(400):
        if len(rows) == 3_000:
            return rows
        page = _page(box, len(rows) + 1)
        if stop == 0 or _is_true(page, len(rows) + 1):
            rows += page
    raise AssertionError("the walk does not end")


def _page(box: BoxThread, number: int) -> Any:
    try:
        status, page, _ = get(box, "/fapi/v1/aggTrades", symbol="BTCUSDT", fromId=number, limit=100)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return page if status == 200 else None


def _is_true(page: Any, number: int) -> bool:
    """100 rows with ids from *number* on, whose numbers and times can be."""
    if not isinstance(page, list) or len(page) != 100:
        return False
    try:
        return all(
            row["a"] == number + index
            and 0 < float(row["p"]) < math.inf
            and 0 < float(row["q"]) < math.inf
            and isinstance(row["p"], str)
            and 10**12 < row["T"] < 2 * 10**12
            and row["f"] <= row["l"]
            for index, row in enumerate(page)
        )
    except (KeyError, TypeError, ValueError):
        return False
