"""The venue's clock on a monotonic clock that the tests move."""

from __future__ import annotations

from datetime import datetime, timedelta

from lake.sources.clock import VenueClock

NOON = datetime(2024, 1, 1, 12)
NOON_S = 1_704_110_400.0


class Monotonic:
    def __init__(self) -> None:
        self.at = 500.0

    def __call__(self) -> float:
        return self.at


def measured_at_noon() -> tuple[VenueClock, Monotonic]:
    """Asked at 500.0, answered at 500.4 with twelve o'clock."""
    monotonic = Monotonic()
    clock = VenueClock(monotonic)
    monotonic.at = 500.4
    clock.measured(NOON_S * 1_000, sent=500.0, received=500.4)
    return clock, monotonic


def test_candles_are_judged_by_a_time_that_the_venue_has_surely_reached() -> None:
    clock, monotonic = measured_at_noon()

    assert clock.now() == NOON
    assert abs(clock.likely_s() - (NOON_S + 0.2)) < 1e-6
    assert abs(clock.uncertainty_s - 0.2) < 1e-9
    monotonic.at += 30
    assert clock.now() == NOON + timedelta(seconds=30)


def test_it_asks_to_be_measured_again_after_a_minute() -> None:
    clock, monotonic = measured_at_noon()

    assert not clock.is_stale
    monotonic.at += 61
    assert clock.is_stale


def test_a_date_that_contradicts_it_has_it_measured_again() -> None:
    """After a suspend the monotonic clock has stood still."""
    clock, monotonic = measured_at_noon()
    monotonic.at += 5

    clock.doubt(NOON_S + 5, sent=monotonic.at, received=monotonic.at)
    assert not clock.is_stale
    clock.doubt(NOON_S + 3_600, sent=monotonic.at, received=monotonic.at)

    assert clock.is_stale


def test_a_cache_that_keeps_old_dates_is_doubted_once() -> None:
    clock, monotonic = measured_at_noon()
    monotonic.at += 5
    clock.doubt(NOON_S - 60, sent=monotonic.at, received=monotonic.at)

    clock.measured((NOON_S + 5) * 1_000, sent=monotonic.at, received=monotonic.at)
    monotonic.at += 5
    clock.doubt(NOON_S - 60, sent=monotonic.at, received=monotonic.at)

    assert not clock.is_stale
