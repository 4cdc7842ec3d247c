"""How many rows may be in memory: the gate that all jobs of a run share."""

from __future__ import annotations

import asyncio
import random

import pytest

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


async def come(gate: RowGate, rows: int, told: list[str], name: str) -> asyncio.Task[None]:
    """Somebody who asks for *rows*, tells when let in, and leaves at once."""

    async def work() -> None:
        async with gate.hold(rows):
            told.append(name)

    task = asyncio.create_task(work())
    await settle()
    return task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_asks_for_little_does_not_pass_who_waits_for_all_of_it() -> None:
    """Trades of archives ask for more than there is: candles went on before them for ever."""

    async def scenario() -> list[str]:
        gate, told = RowGate(10), list[str]()
        async with gate.hold(6):
            tasks = [
                await come(gate, 99, told, "large"),
                await come(gate, 1, told, "small"),
                await come(gate, 0, told, "nothing"),
            ]
            told.append("given back")
        await asyncio.gather(*tasks)
        return told

    assert asyncio.run(scenario()) == ["given back", "large", "small", "nothing"]


def test_who_grows_leaves_what_is_free_to_who_waits() -> None:
    """Else two that grow in turns would keep out who waits for a little more than is free."""

    async def scenario() -> list[int]:
        gate, told = RowGate(10), list[str]()
        async with gate.hold(4) as room:
            waiting = await come(gate, 8, told, "in")
            seen = [room.grow_to(6)]
        await waiting
        async with gate.hold(4) as room:
            return [*seen, room.grow_to(6)]

    assert asyncio.run(scenario()) == [4, 6]


def test_the_next_are_let_in_when_the_first_gives_up_waiting() -> None:
    async def scenario() -> list[str]:
        gate, told = RowGate(10), list[str]()
        async with gate.hold(6):
            first, *others = [
                await come(gate, 10, told, "large"),
                await come(gate, 2, told, "small"),
                await come(gate, 2, told, "another"),
            ]
            first.cancel()
            await settle()
            told.append("given back")
            await asyncio.gather(*others)
        async with gate.hold(10):
            return told

    assert asyncio.run(scenario()) == ["small", "another", "given back"]


def test_who_is_cancelled_in_the_moment_of_being_let_in_gives_the_room_back() -> None:
    async def scenario() -> list[str]:
        gate, told = RowGate(10), list[str]()
        async with gate.hold(6):
            unlucky = await come(gate, 10, told, "unlucky")
            next_one = await come(gate, 10, told, "next")
        unlucky.cancel()
        await asyncio.gather(unlucky, return_exceptions=True)
        await next_one
        return told

    async def in_time() -> list[str]:
        async with asyncio.timeout(5):
            return await scenario()

    assert asyncio.run(in_time()) == ["next"]


@pytest.mark.parametrize("seed", range(20))
def test_whoever_comes_grows_or_gives_up_the_bound_holds_and_no_room_is_lost(seed: int) -> None:
    draw = random.Random(seed)

    async def scenario() -> tuple[int, int]:
        gate, most = RowGate(10), 0
        inside: dict[int, int] = {}

        async def work(number: int) -> None:
            nonlocal most
            async with gate.hold(draw.randint(0, 14)) as room:
                try:
                    for _ in range(draw.randint(0, 5)):
                        inside[number] = room.grow_to(draw.randint(0, 10))
                        most = max(most, sum(inside.values()))
                        await asyncio.sleep(0)
                finally:
                    inside.pop(number, None)

        tasks = []
        for number in range(60):
            tasks.append(asyncio.create_task(work(number)))
            if draw.random() < 0.3:
                draw.choice(tasks).cancel()
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks, return_exceptions=True)
            async with gate.hold(0) as room:
                return most, room.grow_to(99)

    most, free = asyncio.run(scenario())

    assert (most, free) == (10, 10)


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
