"""What the reasons of gaps mean to who looks at the report: three classes, a sentence each."""

from __future__ import annotations

from enum import Enum

from lake.domain.gaps import GapReason


class Kind(Enum):
    """What a gap asks of who looks at it. The value is what the page calls it."""

    ATTENTION = "to act on"
    """Rows are missing that somebody may still get."""
    EXPLAINED = "explained"
    """Rows are missing, and it is known why nobody can give them, or that they will come."""
    NOT_EXPECTED = "not expected"
    """Nobody expects rows there, so they do not count as missing."""


MEANING: dict[GapReason, tuple[Kind, str]] = {
    GapReason.NOT_FETCHED: (Kind.ATTENTION, "never asked for, or the request was cancelled"),
    GapReason.FAILED: (Kind.ATTENTION, "asked for, and the request failed"),
    GapReason.LOST_BY_SOURCE: (Kind.ATTENTION, "the source lost rows that other rows prove"),
    GapReason.IN_QUARANTINE: (Kind.ATTENTION, "a row came and was refused, because it cannot be"),
    GapReason.PROVISIONAL: (Kind.EXPLAINED, "too young to be settled; the next run asks again"),
    GapReason.VENUE_HAS_NONE: (Kind.EXPLAINED, "the venue was asked and has none"),
    GapReason.VENUE_OUTAGE: (Kind.EXPLAINED, "absent from every instrument of the venue at once"),
    GapReason.NO_TRADES: (Kind.EXPLAINED, "nothing was traded, and the source writes no row then"),
    GapReason.BEYOND_SOURCE: (Kind.EXPLAINED, "older than any source reaches"),
    GapReason.BEFORE_LISTING: (Kind.NOT_EXPECTED, "before the instrument was listed"),
    GapReason.AFTER_DELISTING: (Kind.NOT_EXPECTED, "after the instrument ended"),
    GapReason.EXPIRED: (Kind.NOT_EXPECTED, "removed by retention"),
}


def named(kind: Kind) -> list[str]:
    """The reasons of *kind*, as SQL and the page spell them."""
    return [reason.value for reason, (of, _) in MEANING.items() if of is kind]
