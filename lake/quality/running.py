"""Runs checks: batch by batch, in bounded memory, and remembers what they say."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from lake.domain.checks import (
    COLUMNS,
    Check,
    CheckRun,
    Named,
    Reach,
    RunStatus,
    Severity,
    Violation,
)
from lake.domain.identifiers import Series
from lake.domain.times import iso
from lake.errors import InvalidRequest, LakeError
from lake.quality.reasons import BATCH_ROWS, MEMORY, explain_gaps
from lake.warehouse import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

    from lake.storage.lake import Storage

# Violations that are kept of one run. All are counted.
KEPT = 20_000

Told = Callable[[Check, int, int], None]
"""Called before each batch: the check, which batch (from 1), of how many."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a lake is looked at.

    Attributes:
        series: Only these; None for all of the lake.
        since: Rows from this moment on.
        until: Rows before this moment.
    """

    series: tuple[Series, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def described(self) -> dict[str, str]:
        """Empty for the whole lake."""
        told = {}
        if self.series is not None:
            told["series"] = " ".join(sorted(str(each) for each in self.series))
        if self.since is not None:
            told["since"] = iso(self.since)
        if self.until is not None:
            told["until"] = iso(self.until)
        return told


@dataclass(frozen=True, slots=True)
class _Member:
    """A series as far as batches are concerned."""

    series_id: int
    series: Series
    rows: int


def run_checks(
    storage: Storage,
    checks: Sequence[Check],
    *,
    now: datetime,
    scope: Scope | None = None,
    parameters: Mapping[str, str] | None = None,
    told: Told = lambda check, number, count: None,
    warehouse: Warehouse | None = None,
) -> list[CheckRun]:
    """Run *checks* over *scope*, and remember the runs where the lake can be written.

    A check that cannot be run is a run that failed; the others go on. One that reads rows of
    types that are not held is left out.

    Args:
        storage: The lake.
        checks: Which, in this order.
        now: What the checks take for the present (naive UTC).
        scope: What to look at; the whole lake where nothing is said.
        parameters: Values for parameters, by name; each must be known to one of *checks*.
        told: Hears of progress.
        warehouse: DuckDB on the lake, opened with ``checks``; one is opened where none is given.

    Raises:
        InvalidRequest: A parameter is unknown, or a check's text was changed under its version.
        StorageError: The catalog cannot be read or written.
    """
    scope = scope or Scope()
    given = dict(parameters or {})
    _require_known(given, checks)
    _require_versions(storage, checks)
    if warehouse is None:
        with Warehouse(storage.root, catalog=storage.snapshot, checks=True) as opened:
            return run_checks(
                storage,
                checks,
                now=now,
                scope=scope,
                parameters=given,
                told=told,
                warehouse=opened,
            )
    warehouse.connection.execute(f"set memory_limit = '{MEMORY}'")
    # The gaps that checks see have their reasons.
    explain_gaps(storage, warehouse)
    batch = uuid.uuid4().hex[:12]
    members = _members(storage, scope)
    runs = []
    for check in checks:
        mine = [each for each in members if _concerns(check, each)]
        if not mine and (check.reads_rows or scope.series is not None):
            continue
        started_at = storage.clock()
        values = {each.name: given[each.name] for each in check.parameters if each.name in given}
        tally = _run(warehouse, check, mine, scope, {**values, "now": now}, told)
        runs.append(
            CheckRun(
                batch=batch,
                check=check,
                parameters=values,
                scope=scope.described(),
                status=tally.status,
                violations=tally.counts.total(),
                found=tuple(tally.found),
                counts=dict(tally.counts),
                by_series=dict(tally.by_series),
                error=tally.error,
                started_at=started_at,
                finished_at=storage.clock(),
            )
        )
    if not storage.read_only:
        storage.checks.record(runs)
    return runs


@dataclass(slots=True)
class _Tally:
    """What a check has found so far; of many violations the first are kept."""

    found: list[Violation] = field(default_factory=list)
    counts: Counter[Severity] = field(default_factory=Counter)
    by_series: dict[Named, tuple[int, int]] = field(default_factory=dict)
    error: str | None = None

    @property
    def status(self) -> RunStatus:
        if self.error is not None:
            return RunStatus.FAILED
        is_well = self.counts.total() == self.counts[Severity.INFO]
        return RunStatus.PASSED if is_well else RunStatus.VIOLATED

    def add(self, each: Violation) -> None:
        self.counts[each.severity] += 1
        named = (each.data_type, each.venue, each.instrument, each.timeframe)
        violations, rows = self.by_series.get(named, (0, 0))
        self.by_series[named] = (violations + 1, rows + (each.rows or 0))
        if len(self.found) < KEPT:
            self.found.append(each)


def _run(
    warehouse: Warehouse,
    check: Check,
    members: Sequence[_Member],
    scope: Scope,
    variables: Mapping[str, Any],
    told: Told,
) -> _Tally:
    """What *check* finds."""
    tally = _Tally()
    batches = list(_batches(check, members, is_all=scope.series is None))
    for number, batch in enumerate(batches, start=1):
        told(check, number, len(batches))
        try:
            warehouse.look_at(batch, scope.since, scope.until, **variables)
            for each in _violations(check, warehouse.arrow(check.text)):
                tally.add(each)
        except LakeError as error:
            tally.error = " ".join(str(error).split())
            break
    return tally


def _members(storage: Storage, scope: Scope) -> list[_Member]:
    counted: Counter[int] = Counter()
    for series_id, rows in storage.database.read(
        "select series_id, sum(rows) from partitions group by series_id"
    ):
        counted[series_id] = rows
    chosen = None if scope.series is None else set(scope.series)
    return [
        _Member(series_id, series, counted[series_id])
        for series_id, series in storage.catalog.series_ids()
        if chosen is None or series in chosen
    ]


def _concerns(check: Check, member: _Member) -> bool:
    return not check.reads_rows or (
        member.rows > 0 and member.series.data_type.value in check.reads
    )


def _batches(
    check: Check, members: Sequence[_Member], *, is_all: bool
) -> Iterator[list[int] | None]:
    """Series that are looked at together; None is the whole lake."""
    if check.reach is Reach.LAKE or not check.reads_rows:
        yield None if is_all else [each.series_id for each in members]
        return
    groups: dict[object, list[_Member]] = defaultdict(list)
    for each in members:
        alone = check.reach is Reach.SERIES
        groups[each.series if alone else each.series.instrument_id].append(each)
    batch: list[_Member] = []
    for group in groups.values():
        together = sum(each.rows for each in chain(batch, group))
        if batch and together > BATCH_ROWS:
            yield [each.series_id for each in batch]
            batch = []
        batch.extend(group)
    if batch:
        yield [each.series_id for each in batch]


def _violations(check: Check, answer: pa.Table) -> Iterator[Violation]:
    """
    Raises:
        InvalidRequest: The check does not return what checks return.
    """
    if lacking := [name for name in COLUMNS if name not in answer.column_names]:
        raise InvalidRequest(
            f"The check {check.name} does not return {', '.join(lacking)}. Every check returns "
            f"{', '.join(COLUMNS)}, and may return severity."
        )
    names = [*COLUMNS, *(["severity"] if "severity" in answer.column_names else [])]
    for batch in answer.select(names).to_batches():
        for row in batch.to_pylist():
            yield Violation(
                severity=_severity(check, row.get("severity")),
                data_type=row["data_type"],
                venue=row["venue"],
                instrument=row["instrument"],
                timeframe=row["timeframe"],
                start=row["start_ts"],
                end=row["end_ts"],
                rows=None if row["rows"] is None else int(row["rows"]),
                detail=str(row["detail"]),
            )


def _severity(check: Check, word: str | None) -> Severity:
    if word is None:
        return check.severity
    try:
        return Severity(word)
    except ValueError:
        raise InvalidRequest(
            f"The check {check.name} returns the severity {word!r}. It must be error, warning or "
            "info."
        ) from None


def _require_known(given: Mapping[str, str], checks: Sequence[Check]) -> None:
    known = {each.name for check in checks for each in check.parameters}
    if unknown := sorted(set(given) - known):
        has = ", ".join(sorted(known)) or "no parameter"
        raise InvalidRequest(
            f"No check that is to be run has a parameter {', '.join(unknown)}. They have: {has}."
        )


def _require_versions(storage: Storage, checks: Sequence[Check]) -> None:
    """Refuse another text under a version that has been run: trends would compare two checks."""
    texts = storage.checks.texts()
    for check in checks:
        version, sha256 = texts.get(check.name, (0, ""))
        if check.version < version:
            raise InvalidRequest(
                f"The check {check.name} is of version {check.version}, and version {version} "
                "of it has been run on this lake. Install a newer mdlake, or raise its version."
            )
        if check.version == version and check.sha256 != sha256:
            raise InvalidRequest(
                f"The text of the check {check.name} was changed, and its version {version} was "
                "not: what it says now could not be compared with what it said. Raise the "
                "version in its header."
            )
