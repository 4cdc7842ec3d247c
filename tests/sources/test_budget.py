"""The rate budget against Binance's way of counting, in virtual time: deterministic and fast."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lake.domain.times import EPOCH, to_us
from lake.errors import SourceError
from lake.simulator.limits import Outcome, WeightLimit
from lake.sources.budget import Budget, Ledger, Limit, MemoryLedger
from lake.sources.connection import even_limit
from lake.storage.rate_ledger import RateLedger

LIMIT = 6_000
START_S = to_us(datetime(2024, 1, 1, 12, 0, 17)) / 1e6
MINUTE = 60.0


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Instead of waiting, moves the loop's clock."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s


def in_virtual_time(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


def now_s() -> float:
    """The venue's clock."""
    return START_S + asyncio.get_running_loop().time()


@dataclass
class Server:
    """Binance's counting, with a stranger where wanted; answers take *round_trip_s*."""

    stranger: int = 0
    round_trip_s: float = 0.06
    weights: WeightLimit = field(default_factory=lambda: WeightLimit(LIMIT))
    refused: int = 0

    def __post_init__(self) -> None:
        self.weights.stranger = self.stranger

    async def ask(self, budget: Budget, weight: int, rng: random.Random) -> None:
        window = await budget.spend(weight)
        await asyncio.sleep(self.round_trip_s * rng.uniform(0.2, 0.8))
        verdict = self.weights.take(weight, now_ms=int(now_s() * 1_000))
        self.refused += verdict.outcome is not Outcome.ANSWER
        await asyncio.sleep(self.round_trip_s * rng.uniform(0.2, 0.8))
        budget.answered(weight, window, verdict.used)
        if verdict.outcome is not Outcome.ANSWER:
            budget.pause(verdict.retry_after_s)

    def full_minutes(self) -> list[int]:
        """What was used in each minute that was seen from its start to its end."""
        return [used for _, used in sorted(self.weights.used_by_minute.items())][1:-1]


def make_budget(
    ledger: Ledger, *, share: float = 1.0, clock_off_s: float = 0.0, **more: Any
) -> Budget:
    return Budget(
        ledger,
        "BINANCE",
        limit=more.pop("limit", Limit(LIMIT)),
        share=share,
        now_s=lambda: now_s() + clock_off_s,
        guard_s=lambda: abs(clock_off_s),
        **more,
    )


async def work(server: Server, budget: Budget, *, until_s: float, weight: int = 2) -> None:
    rng = random.Random(1)

    async def worker() -> None:
        while asyncio.get_running_loop().time() < until_s:
            await server.ask(budget, weight, rng)

    await asyncio.gather(*(worker() for _ in range(16)))


def test_alone_it_uses_the_whole_limit_and_is_never_refused() -> None:
    async def main() -> None:
        server = Server()
        await work(server, make_budget(MemoryLedger()), until_s=5 * MINUTE)

        assert server.refused == 0
        assert min(server.full_minutes()) >= 0.97 * LIMIT
        assert max(server.full_minutes()) <= LIMIT

    in_virtual_time(main())


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_a_share_is_a_ceiling(share: float) -> None:
    async def main() -> None:
        server = Server()
        await work(server, make_budget(MemoryLedger(), share=share), until_s=4 * MINUTE)

        assert max(server.full_minutes()) <= share * LIMIT
        assert min(server.full_minutes()) >= 0.95 * share * LIMIT

    in_virtual_time(main())


@pytest.mark.parametrize("ledger", ["memory", "sqlite"])
def test_two_processes_share_one_limit(ledger: str, tmp_path: Path) -> None:
    """Their clocks differ by a tenth of a second; each sees only its own answers."""

    async def main() -> None:
        server = Server()
        books = MemoryLedger() if ledger == "memory" else None
        first = books or RateLedger(tmp_path / "rates.sqlite")
        second = books or RateLedger(tmp_path / "rates.sqlite")
        minutes = 4 if ledger == "memory" else 2.5
        one = make_budget(first, clock_off_s=0.05)
        other = make_budget(second, clock_off_s=-0.05)
        await asyncio.gather(
            work(server, one, until_s=minutes * MINUTE),
            work(server, other, until_s=minutes * MINUTE),
        )
        for each in (first, second):
            if isinstance(each, RateLedger):
                each.close()

        assert server.refused == 0
        assert min(server.full_minutes()) >= 0.9 * LIMIT

    in_virtual_time(main())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stranger_who_uses_half_is_left_his_half(workers: int) -> None:
    async def main() -> None:
        server = Server(stranger=LIMIT // 2)
        ledger = MemoryLedger()
        budgets = [make_budget(ledger) for _ in range(workers)]
        await asyncio.gather(*(work(server, each, until_s=5 * MINUTE) for each in budgets))

        assert server.refused == 0
        assert min(server.full_minutes()) >= 0.9 * LIMIT
        assert max(server.full_minutes()) <= LIMIT

    in_virtual_time(main())


@pytest.mark.parametrize("weight", [1, 5, 20])
def test_heavy_and_light_requests_fill_the_limit_alike(weight: int) -> None:
    async def main() -> None:
        server = Server()
        budget = make_budget(MemoryLedger())
        await work(server, budget, until_s=3 * MINUTE, weight=weight)

        assert server.refused == 0
        assert min(server.full_minutes()) >= 0.95 * LIMIT

    in_virtual_time(main())


def test_a_small_job_does_not_wait() -> None:
    """What fits into the open part of a window goes at once, in whatever second it starts."""

    async def main() -> None:
        server, budget, rng = Server(), make_budget(MemoryLedger()), random.Random(1)
        began = asyncio.get_running_loop().time()

        await asyncio.gather(*(server.ask(budget, 2, rng) for _ in range(1_000)))

        assert asyncio.get_running_loop().time() - began < 0.5

    in_virtual_time(main())


def test_a_pause_holds_for_all_processes_and_is_announced() -> None:
    async def main() -> None:
        ledger, heard = MemoryLedger(), []
        one = make_budget(ledger)
        other = make_budget(ledger, on_wait=lambda why, seconds: heard.append((why, seconds)))
        began = asyncio.get_running_loop().time()

        one.pause(7)
        await other.spend(2)

        assert asyncio.get_running_loop().time() - began >= 7
        assert heard[0] == ("the venue asked us to wait", pytest.approx(7))

    in_virtual_time(main())


def test_a_ban_of_hours_is_an_error_that_says_when_it_ends() -> None:
    async def main() -> None:
        budget = make_budget(MemoryLedger())
        budget.pause_until(EPOCH + timedelta(seconds=now_s() + 7_200))

        with pytest.raises(SourceError, match="another 120 minutes") as error:
            await budget.spend(2)

        assert error.value.retry_after_s == pytest.approx(7_200)

    in_virtual_time(main())


def test_a_limit_that_others_use_up_ends_in_an_error_and_not_in_a_hang() -> None:
    async def main() -> None:
        ledger = MemoryLedger()
        # Another process counts in a window far ahead: nothing of ours is ever free.
        ledger.take("BINANCE", window=10**9, want=1, ceiling=LIMIT)

        with pytest.raises(SourceError, match="others use all of it"):
            await make_budget(ledger).spend(2)

    in_virtual_time(main())


def test_without_a_limit_nothing_waits() -> None:
    async def main() -> None:
        budget = make_budget(MemoryLedger(), limit=None)
        for _ in range(10_000):
            await budget.spend(2)

        assert asyncio.get_running_loop().time() == 0
        assert budget.used_share == 0

    in_virtual_time(main())


def test_venues_without_windows_are_asked_evenly() -> None:
    """Kraken's counter refuses bursts: one unit a second, and candles cost 1.2."""

    async def main() -> None:
        times: list[float] = []
        budget = make_budget(MemoryLedger(), limit=even_limit(1.0), share=0.8)
        while asyncio.get_running_loop().time() < 60:
            await budget.spend(120)
            times.append(asyncio.get_running_loop().time())

        most = 60 * 0.8 / 1.2
        assert 0.85 * most <= len(times) <= most + 2
        assert max(sum(at <= each < at + 3 for each in times) for at in times) <= 4

    in_virtual_time(main())


def test_a_request_heavier_than_a_window_still_gets_through() -> None:
    async def main() -> None:
        budget = make_budget(MemoryLedger(), limit=even_limit(1.0), share=0.1)
        for _ in range(3):
            await budget.spend(10_000)

        assert asyncio.get_running_loop().time() < 20

    in_virtual_time(main())


def test_progress_display_sees_use_and_waiting() -> None:
    async def main() -> None:
        server, budget, rng = Server(), make_budget(MemoryLedger()), random.Random(1)
        await asyncio.gather(*(server.ask(budget, 2, rng) for _ in range(600)))

        assert budget.used_share == pytest.approx(0.2)
        assert budget.seconds(2_000) == 0.0
        assert budget.seconds(2_700 + 6_000) == pytest.approx(60)

    in_virtual_time(main())
