"""What a file that promises a day or a month may claim, once all of it was read. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from lake.domain.coverage import Basis, Claim
from lake.domain.ranges import TimeRange, range_or_none
from lake.domain.timeframe import Grid
from lake.domain.times import from_us, iso, to_us


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


def candles_claim(promise: TimeRange, grid: Grid, last_us: int, rows: int, evidence: str) -> Told:
    """What a file of candles may claim of its *promise*.

    A hole before its last candle is a fact; that it ends early may be a cut, and is none. Its last
    candle may have been running when it was cut: it is stored, and claimed by nobody until the
    exchange was asked for it.

    Args:
        promise: The day or month that its name says.
        grid: The open times that are possible.
        last_us: When its last candle opens.
        rows: How many candles it has.
        evidence: What proves it intact; empty where nothing does.
    """
    opened = from_us(last_us)
    last_slot = grid.floor(from_us(to_us(promise.end) - 1))
    missing = grid.count(promise) - rows
    remark, claimed = "", range_or_none(promise.start, promise.end)
    if opened < last_slot:
        claimed = range_or_none(promise.start, opened)
        closed = grid.next(opened)
        cut = grid.count(TimeRange(closed, promise.end))
        remark = (
            f"ends at {iso(closed)}: its last candle may not have closed, and the {cut:,} candles "
            "missing after it are not taken as fact; a backfill asks the exchange"
        )
    if claimed is None:
        return Told(None, remark)
    if evidence or missing == 0:
        return Told(Claim(claimed, Basis.ARCHIVE, evidence or "complete"), remark)
    if not remark:
        remark = (
            f"has holes ({missing:,} candles) and nothing proves it intact (no zip, no .CHECKSUM), "
            "so they mean nothing"
        )
    return Told(Claim(claimed, Basis.ROWS_ONLY), remark)


def settlements_claim(
    promise: TimeRange, last_us: int, step_us: int | None, now: datetime, evidence: str
) -> tuple[Claim, str]:
    """What a file of settlements may claim of its *promise*, and what the user should know.

    They have a rhythm: where the next one would still be due inside of the promise, the file may
    have been made before it was, and claims no more than it has.

    Args:
        promise: The day or month that its name says.
        last_us: When its last settlement was due.
        step_us: How far they are apart; None where it has but one.
        now: The present.
        evidence: What proves it intact; empty where nothing does.
    """
    if step_us is not None and last_us + step_us >= to_us(promise.end):
        told = promised_claim(promise, last_us, now, evidence, what="settlements")
        assert told.claim is not None
        return told.claim, told.remark
    end = from_us(last_us + 1)
    basis = Basis.ARCHIVE if evidence else Basis.ROWS_ONLY
    return Claim(TimeRange(promise.start, end), basis, evidence), (
        f"ends at {iso(end)}: that none follows until {iso(promise.end)} is not taken as fact"
    )
