"""How many rows may be in memory: the gate that all jobs of a run share."""

from __future__ import annotations

import asyncio

from lake.ingestion.gates import RowGate
from lake.ingestion.runner import (
    MOST_STREAMED_ROWS,
    ROWS_IN_FLIGHT,
    STREAMED_ROWS,
    gathered_at_once,
    weight_of,
)


def test_who_grows_takes_what_is_free_and_gives_it_all_back() -> None:
    async def scenario() -> list[int]:
        gate = RowGate(10)
        async with gate.hold(4) as one, gate.hold(3) as other:
            seen = [one.grow_to(6), other.grow_to(9), one.grow_to(8), one.grow_to(2)]
        async with gate.hold(10) as everything:
            return [*seen, everything.rows]

    assert asyncio.run(scenario()) == [6, 4, 6, 6, 10]


def test_who_waits_for_room_is_let_in_when_a_grown_share_is_given_back() -> None:
    async def scenario() -> list[str]:
        gate, told = RowGate(10), []

        async def later() -> None:
            async with gate.hold(5):
                told.append("in")

        async with gate.hold(2) as room:
            room.grow_to(8)
            waiting = asyncio.create_task(later())
            for _ in range(3):
                await asyncio.sleep(0)
            told.append("given back")
        await waiting
        return told

    assert asyncio.run(scenario()) == ["given back", "in"]


def test_days_fetched_at_once_hold_half_as_many_trades_again_as_candles() -> None:
    """Each alone would gather as many rows as its day has; two of them took 900 MB."""

    async def scenario() -> list[int]:
        gate, least = RowGate(ROWS_IN_FLIGHT), weight_of(STREAMED_ROWS)
        async with gate.hold(least) as first, gate.hold(least) as second:
            return [
                gathered_at_once(first, 700_000),
                gathered_at_once(first, 15_000_000),
                gathered_at_once(second, 15_000_000),
            ]

    found = asyncio.run(scenario())

    assert found == [700_000, 1_000_000, 500_000]


def test_a_day_alone_gathers_more() -> None:
    async def scenario() -> int:
        async with RowGate(ROWS_IN_FLIGHT).hold(weight_of(STREAMED_ROWS)) as room:
            return gathered_at_once(room, 15_000_000)

    assert asyncio.run(scenario()) == MOST_STREAMED_ROWS


def test_a_small_gate_still_lets_a_stream_gather_what_makes_a_commit_worthwhile() -> None:
    async def scenario() -> int:
        async with RowGate(10).hold(STREAMED_ROWS) as room:
            return gathered_at_once(room, 15_000_000)

    assert asyncio.run(scenario()) == STREAMED_ROWS
