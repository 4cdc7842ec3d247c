"""Says what of an asked range is not held, and why: nothing incomplete is returned in silence."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from lake.domain.gaps import Gap
from lake.domain.times import iso
from lake.errors import IncompleteRange, InvalidRequest

if TYPE_CHECKING:
    pass

_GAPS_SHOWN = 3


class GapWarning(UserWarning):
    """A range was answered that is not wholly held; the text says what is missing and why."""


class OnGap(Enum):
    """What to do about a range that is not wholly held."""

    IGNORE = "ignore"
    WARN = "warn"
    RAISE = "raise"
    FILL = "fill"

    @classmethod
    def from_str(cls, text: str) -> OnGap:
        try:
            return cls(text)
        except ValueError:
            names = ", ".join(each.value for each in cls)
            raise InvalidRequest(f"on_gap={text!r} is not known. Use one of: {names}.") from None


def tell(gaps: Sequence[Gap], on_gap: OnGap, *, stacklevel: int) -> None:
    """Warn or raise about *gaps*, as *on_gap* says.

    Raises:
        IncompleteRange: There are gaps, and that was asked for.
    """
    if not gaps or on_gap is OnGap.IGNORE:
        return
    text = _text(gaps)
    if on_gap is OnGap.RAISE:
        raise IncompleteRange(text)
    warnings.warn(text, GapWarning, stacklevel=stacklevel + 1)


def _text(gaps: Sequence[Gap]) -> str:
    by_reason: Counter[str] = Counter()
    for gap in gaps:
        by_reason[gap.reason.value] += gap.missing_count or 0
    series = list(dict.fromkeys(gap.series for gap in gaps))
    whose = str(series[0]) if len(series) == 1 else f"{len(series)} series"
    total = sum(by_reason.values())
    what = f"{total:,} {'row is' if total == 1 else 'rows are'} missing" if total else "not all"
    reasons = ", ".join(
        f"{count:,} {reason}" if count else reason for reason, count in by_reason.most_common()
    )
    shown = "; ".join(
        (f"{gap.series} " if len(series) > 1 else "")
        + f"[{iso(gap.range.start)}, {iso(gap.range.end)}) {gap.reason}: {gap.evidence}"
        for gap in gaps[:_GAPS_SHOWN]
    )
    more = f"; and {len(gaps) - _GAPS_SHOWN:,} more gaps" if len(gaps) > _GAPS_SHOWN else ""
    is_held = "of the range asked" if total else "of the range asked is held"
    return (
        f"{whose}: {what} {is_held} ({reasons}). {shown}{more}. Lake.gaps() lists them, "
        "Lake.backfill() fetches what can be had, on_gap= says what to do about the rest."
    )
