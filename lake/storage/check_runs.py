"""What checks found, run by run: the tables ``check_runs`` and ``check_results`` as values."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from lake.domain.checks import CheckRun, RunStatus, Severity, Violation
from lake.domain.times import from_us, to_us
from lake.storage.connection import Database

_RUN_COLUMNS = (
    "run_id, batch_id, name, version, sha256, severity, parameters, scope, status, violations, "
    "kept, error, started_at, finished_at"
)
_RESULT_COLUMNS = (
    "severity, data_type, venue, instrument, timeframe, start_ts, end_ts, rows, detail"
)
# Of how many runs of a check each table keeps its rows: a trend needs many, and details few.
_KEPT = {"check_counts": 1, "check_results": 10, "check_runs": 400}


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it is remembered; ``kept`` of its violations can be asked for."""

    run_id: str
    batch: str
    name: str
    version: int
    sha256: str
    severity: Severity
    parameters: dict[str, str]
    scope: dict[str, str]
    status: RunStatus
    violations: int
    kept: int
    error: str | None
    started_at: datetime
    finished_at: datetime


class CheckRuns:
    """Runs of checks, remembered, and what rows said about gaps.

    Attributes:
        looking: Held by the thread that looks for facts about gaps: one is enough.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self.looking = threading.Lock()
        self._facts_found: float | None = None
        self._facts_cost_s = 0.0

    def facts_state(self) -> str | None:
        """Of what the facts about gaps were found; None where nobody looked yet."""
        row = self._database.read_one("select state from gap_facts_state")
        return None if row is None else str(row[0])

    def facts_are_cheap(self, share: float) -> bool:
        """Whether finding the facts again now would take at most that *share* of the time.

        As far as this process knows: it has to have found them once.
        """
        if self._facts_found is None:
            return True
        return (time.monotonic() - self._facts_found) * share >= self._facts_cost_s

    def note_cost(self, seconds: float) -> None:
        """The facts were found just now, which took so long."""
        self._facts_found, self._facts_cost_s = time.monotonic(), seconds

    def keep_facts(self, facts: Sequence[tuple[int, int, int, str, str]], state: str) -> None:
        """Put *facts* about gaps in place of those before.

        Args:
            facts: Number of a series, start and end in us, reason, evidence.
            state: Of what they were found.
        """
        now = to_us(self._clock())
        with self._database.writing() as transaction:
            transaction.run("delete from gap_facts")
            for fact in facts:
                # Of several that say the same of one stretch the longest stays.
                transaction.run(
                    "insert into gap_facts "
                    "(series_id, start_ts, end_ts, reason, evidence, found_at) "
                    "values (?, ?, ?, ?, ?, ?) on conflict do update "
                    "set end_ts = excluded.end_ts, evidence = excluded.evidence "
                    "where excluded.end_ts > end_ts",
                    (*fact, now),
                )
            transaction.run(
                "insert into gap_facts_state (only_row, state) values (1, ?) "
                "on conflict do update set state = excluded.state",
                (state,),
            )

    def record(self, runs: Sequence[CheckRun]) -> None:
        """Remember *runs*, all or none; the oldest runs of the same checks are forgotten."""
        with self._database.writing() as transaction:
            for run in runs:
                run_id = uuid.uuid4().hex[:12]
                transaction.run(
                    f"insert into check_runs ({_RUN_COLUMNS}) "
                    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        run_id,
                        run.batch,
                        run.check.name,
                        run.check.version,
                        run.check.sha256,
                        run.check.severity.value,
                        json.dumps(dict(run.parameters), sort_keys=True),
                        json.dumps(dict(run.scope), sort_keys=True),
                        run.status.value,
                        run.violations,
                        len(run.found),
                        run.error,
                        to_us(run.started_at),
                        to_us(run.finished_at),
                    ),
                )
                for row in _rows(run_id, run.found):
                    transaction.run(
                        f"insert into check_results (run_id, position, {_RESULT_COLUMNS}) "
                        "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        row,
                    )
                for named, (violations, rows) in run.by_series.items():
                    transaction.run(
                        "insert into check_counts values (?, ?, ?, ?, ?, ?, ?)",
                        (run_id, *named, violations, rows),
                    )
            for name in {run.check.name for run in runs}:
                for table, count in _KEPT.items():
                    transaction.run(
                        f"delete from {table} where run_id in ("
                        "select run_id from check_runs where name = ? "
                        "order by started_at desc, rowid desc limit -1 offset ?)",
                        (name, count),
                    )

    def texts(self) -> dict[str, tuple[int, str]]:
        """Of every check that was ever run the newest version and its digest, by name."""
        rows = self._database.read(
            "select name, version, sha256 from check_runs order by version, started_at"
        )
        return {str(name): (int(version), str(sha256)) for name, version, sha256 in rows}

    def runs(self, name: str | None = None) -> list[StoredRun]:
        """The runs of the check *name*, or of all, oldest first."""
        where = "" if name is None else "where name = ?"
        rows = self._database.read(
            f"select {_RUN_COLUMNS} from check_runs {where} order by started_at, name",
            () if name is None else (name,),
        )
        return [
            StoredRun(
                run_id=row[0],
                batch=row[1],
                name=row[2],
                version=row[3],
                sha256=row[4],
                severity=Severity(row[5]),
                parameters=json.loads(row[6]),
                scope=json.loads(row[7]),
                status=RunStatus(row[8]),
                violations=row[9],
                kept=row[10],
                error=row[11],
                started_at=from_us(row[12]),
                finished_at=from_us(row[13]),
            )
            for row in rows
        ]

    def results(self, run_id: str) -> list[Violation]:
        """What the run found, as far as it was kept, in the check's own order."""
        rows = self._database.read(
            f"select {_RESULT_COLUMNS} from check_results where run_id = ? order by position",
            (run_id,),
        )
        return [
            Violation(
                severity=Severity(severity),
                data_type=data_type,
                venue=venue,
                instrument=instrument,
                timeframe=timeframe,
                start=None if start is None else from_us(start),
                end=None if end is None else from_us(end),
                rows=count,
                detail=detail,
            )
            for severity, data_type, venue, instrument, timeframe, start, end, count, detail in rows
        ]


def _rows(run_id: str, found: Sequence[Violation]) -> Iterator[tuple[object, ...]]:
    for position, each in enumerate(found):
        yield (
            run_id,
            position,
            each.severity.value,
            each.data_type,
            each.venue,
            each.instrument,
            each.timeframe,
            None if each.start is None else to_us(each.start),
            None if each.end is None else to_us(each.end),
            each.rows,
            each.detail,
        )
