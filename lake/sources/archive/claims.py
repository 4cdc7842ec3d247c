"""What a file that promises a day or a month may claim, once all of it was read. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from lake.domain.coverage import Basis, Claim
from lake.domain.ranges import TimeRange
from lake.domain.times import from_us, iso


@dataclass(frozen=True, slots=True)
class Told:
    """A claim, None where nothing may be claimed, and what the user should know about it."""

    claim: Claim | None
    remark: str

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claim, as what may be several."""
        return () if self.claim is None else (self.claim,)


def promised_claim(
    promise: TimeRange, last_us: int | None, now: datetime, evidence: str, *, what: str
) -> Told:
    """What a file without a grid may claim of its *promise*.

    A file without any row claims nothing: a dead market looks like a failed export, and one
    answer is no proof of silence (an exchange's needs a second one, too).

    Args:
        promise: The day or month that its name says.
        last_us: The time of its last row; None where it has none.
        now: The present.
        evidence: What proves it intact; empty where nothing does.
        what: Its rows in the plural.
    """
    if last_us is None:
        return Told(None, f"holds no {what}, which is not taken as fact; a backfill asks again")
    if promise.end > now:
        end = from_us(last_us + 1)
        claim = Claim(TimeRange(promise.start, end), Basis.ROWS_ONLY)
        return Told(claim, f"ends at {iso(end)}, before its promise does: it was made too early")
    if evidence:
        return Told(Claim(promise, Basis.ARCHIVE, evidence), "")
    return Told(
        Claim(promise, Basis.ROWS_ONLY),
        "nothing proves it intact (no zip, no .CHECKSUM), so its holes mean nothing",
    )
