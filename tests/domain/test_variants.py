"""Variants of series, and the ids of trades that a source gives without any."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from lake.domain.variants import (
    BookKind,
    BookVariant,
    IdScheme,
    RefCarry,
    TradeKind,
    TradesVariant,
    derive_refs,
)
from lake.errors import InvalidRequest

Row = tuple[int, float, float, str | None]


@pytest.mark.parametrize("kind", TradeKind)
@pytest.mark.parametrize("ids", IdScheme)
def test_variants_of_trades_read_back_as_they_are_written(kind: TradeKind, ids: IdScheme) -> None:
    variant = TradesVariant(kind, ids)

    assert TradesVariant.from_str(str(variant)) == variant


@pytest.mark.parametrize("kind", BookKind)
def test_variants_of_books_read_back_as_they_are_written(kind: BookKind) -> None:
    variant = BookVariant(kind, 20)

    assert str(variant) == f"{kind.value}/20"
    assert BookVariant.from_str(str(variant)) == variant


@pytest.mark.parametrize(
    ("every", "text"),
    [
        (timedelta(seconds=1), "rebuilt/20/1s"),
        (timedelta(milliseconds=100), "rebuilt/20/100ms"),
        (timedelta(seconds=90), "rebuilt/20/90s"),
        (timedelta(days=1), "rebuilt/20/24h"),
    ],
)
def test_how_often_a_book_was_sampled_belongs_to_its_series(every: timedelta, text: str) -> None:
    variant = BookVariant(BookKind.REBUILT, 20, every)

    assert str(variant) == text
    assert BookVariant.from_str(text) == variant


@pytest.mark.parametrize("text", ["", "single", "single/", "ticks/venue", "single/venue/x"])
def test_text_that_names_no_variant_of_trades_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="aggregate/venue"):
        TradesVariant.from_str(text)


@pytest.mark.parametrize(
    "text", ["rest", "rest/0", "rest/many", "live/20", "rebuilt/20/0s", "rebuilt/20/1x"]
)
def test_text_that_names_no_variant_of_books_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        BookVariant.from_str(text)


def trades(draw: random.Random, count: int) -> list[Row]:
    """Few values, so that equal rows and groups of one time are common."""
    rows: list[Row] = [
        (
            draw.randrange(max(1, count // 4)),
            draw.choice([1.5, 1.6]),
            draw.choice([0.1, 0.2]),
            draw.choice(["buy", "sell", None]),
        )
        for _ in range(count)
    ]
    return sorted(rows, key=lambda row: row[0])


def refs(rows: list[Row], carry: RefCarry | None = None) -> list[str]:
    ts, prices, quantities, sides = ([row[at] for row in rows] for at in range(4))
    return derive_refs(ts, prices, quantities, sides, carry)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(50))
def test_every_trade_has_an_id_of_its_own_wherever_pages_end(seed: int) -> None:
    """A page may end inside a second, and inside a run of equal rows."""
    draw = random.Random(seed)
    rows = trades(draw, draw.randrange(1, 60))
    whole = refs(rows)

    carry, parts, at = RefCarry(), [], 0
    while at < len(rows):
        stop = at + draw.randrange(1, 6)
        parts += refs(rows[at:stop], carry)
        at = stop

    assert parts == whole
    assert len(set(whole)) == len(rows)


@pytest.mark.parametrize("seed", range(20))
def test_ids_do_not_depend_on_what_lies_around_a_moment(seed: int) -> None:
    """Fetching a part again, from the border of a time, gives the same ids."""
    rows = trades(random.Random(seed), 40)
    moment = rows[len(rows) // 2][0]
    first = next(at for at, row in enumerate(rows) if row[0] == moment)

    assert refs(rows[first:]) == refs(rows)[first:]


def test_ids_are_fixed_for_ever() -> None:
    """Stored ids must be those of every later version."""
    assert refs([(1_704_067_200_000_000, 42283.58, 0.5, "buy")] * 2) == [
        "1d2d87318cfec373-1",
        "1d2d87318cfec373-2",
    ]
