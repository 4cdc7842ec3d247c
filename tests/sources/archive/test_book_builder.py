"""Books rebuilt from changes are the model's, and a missing change is noticed."""

from __future__ import annotations

import random

import pytest

from lake.sources.archive.book_builder import BookBuilder, BookEvent, Continuity, Sample

SECOND = 1_000_000
START = 1_733_011_200 * SECOND


def snapshot(ts: int, last_id: int = 10) -> BookEvent:
    return BookEvent(ts, [(99.0, 1.0)], [(101.0, 1.0)], is_snapshot=True, last_id=last_id)


def change(ts: int, last_id: int, price: float = 98.0, **ids: int) -> BookEvent:
    return BookEvent(ts, [(price, 2.0)], [], last_id=last_id, **ids)


def fed(builder: BookBuilder, *events: BookEvent) -> list[Sample]:
    samples = [sample for event in events for sample in builder.apply(event)]
    builder.finish()
    return samples


def random_feed(seed: int) -> tuple[list[BookEvent], dict[int, tuple[list, list]]]:
    """Events of a random book, and what it was after each id, best first."""
    chance = random.Random(seed)
    sides = {"bid": {99.0 - n: 1.0 for n in range(8)}, "ask": {101.0 + n: 1.0 for n in range(8)}}

    def model() -> tuple[list, list]:
        return sorted(sides["bid"].items(), reverse=True), sorted(sides["ask"].items())

    ts, book = START, model()
    events = [BookEvent(ts, book[0], book[1], is_snapshot=True, last_id=1)]
    states = {1: book}
    for number in range(2, 200):
        ts += chance.choice([0, 1, 250_000, 999_999, SECOND, 3 * SECOND])
        levels: dict[str, list[tuple[float, float]]] = {"bid": [], "ask": []}
        for _ in range(chance.randrange(4)):
            name = chance.choice(["bid", "ask"])
            away = chance.randrange(12)
            price = 99.0 - away if name == "bid" else 101.0 + away
            quantity = chance.choice([0.0, 1.0, 2.5, 7.0])
            levels[name].append((price, quantity))
            if quantity:
                sides[name][price] = quantity
            else:
                sides[name].pop(price, None)
        events.append(BookEvent(ts, levels["bid"], levels["ask"], last_id=number))
        states[number] = model()
    return events, states


@pytest.mark.parametrize("seed", range(50))
def test_every_sample_is_the_model_at_that_moment(seed: int) -> None:
    """The sample at a grid moment holds all changes up to it, and none after it."""
    events, states = random_feed(seed)
    builder = BookBuilder(Continuity.DENSE, SECOND, 5)

    samples = fed(builder, *events)

    assert len(samples) > 20
    for sample in samples:
        assert sample.ts_us % SECOND == 0
        last = max(e.last_id or 0 for e in events if e.ts_us <= sample.ts_us)
        bids, asks = states[last]
        assert (sample.last_id, sample.bids, sample.asks) == (last, bids[:5], asks[:5])
    assert [sample.ts_us for sample in samples] == sorted({sample.ts_us for sample in samples})
    assert builder.known == [(START, events[-1].ts_us)]
    assert builder.breaks == []


@pytest.mark.parametrize("seed", range(50))
def test_a_dropped_change_ends_the_book(seed: int) -> None:
    """Nothing is sampled, and nothing claimed, after the hole."""
    events, _ = random_feed(seed)
    dropped = random.Random(seed).randrange(5, 190)
    builder = BookBuilder(Continuity.DENSE, SECOND, 5)

    samples = fed(builder, *events[:dropped], *events[dropped + 1 :])

    [found] = builder.breaks
    end = events[dropped - 1].ts_us
    assert found.ts_us == end
    assert found.reason == f"update id {dropped + 2} does not follow {dropped}"
    assert all(sample.ts_us < end for sample in samples)
    assert all(known_end <= end for _, known_end in builder.known)
    assert builder.ignored == len(events) - dropped - 1


def test_the_next_snapshot_begins_the_book_again() -> None:
    builder = BookBuilder(Continuity.DENSE, SECOND, 5)

    fed(
        builder,
        snapshot(START),
        change(START + 5, 11),
        change(START + 10, 13),
        snapshot(START + 20, 50),
        change(START + 30, 51),
    )

    assert builder.known == [(START, START + 5), (START + 20, START + 30)]
    assert [each.ts_us for each in builder.breaks] == [START + 5]


def test_spot_skips_what_the_snapshot_holds() -> None:
    """Binance spot: the first change after a snapshot may begin before it."""
    builder = BookBuilder(Continuity.SPAN, SECOND, 5)

    fed(
        builder,
        snapshot(START, 10),
        change(START + 1, 9, first_id=5),
        change(START + 2, 12, first_id=9),
        change(START + 3, 14, first_id=13),
        change(START + 4, 17, first_id=16),
    )

    assert builder.known == [(START, START + 3)]
    assert [each.reason for each in builder.breaks] == ["update id 16 does not follow 14"]


def test_futures_follow_by_the_id_before() -> None:
    """Binance USD-M: ids jump, and ``pu`` names the one before."""
    builder = BookBuilder(Continuity.PREVIOUS, SECOND, 5)

    fed(
        builder,
        snapshot(START, 10),
        change(START + 1, 9, first_id=5, previous_id=4),
        change(START + 2, 15, first_id=9, previous_id=7),
        change(START + 3, 30, first_id=22, previous_id=15),
        change(START + 4, 50, first_id=44, previous_id=40),
    )

    assert builder.known == [(START, START + 3)]
    assert [each.reason for each in builder.breaks] == ["update id 40 does not follow 30"]


@pytest.mark.parametrize("level", [(0.0, 1.0), (float("nan"), 1.0), (1.0, -1.0)])
def test_a_level_that_is_none_is_an_error(level: tuple[float, float]) -> None:
    builder = BookBuilder(Continuity.UNPROVED, SECOND, 5)

    with pytest.raises(ValueError, match="is none"):
        fed(builder, BookEvent(START, [level], [], is_snapshot=True))
