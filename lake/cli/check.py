"""check: the quality checks, what they found, and how that went over time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.cli import repair as repairing
from lake.cli.arguments import DIRECT, HERE, Line, Place, utc_now
from lake.cli.holdings import Instruments, Timeframes, TypeName, VenueName, chosen_series
from lake.cli.output import Row, counted, print_error, print_rows
from lake.domain.checks import RunStatus, Severity
from lake.domain.ranges import TimeRange, range_or_none
from lake.domain.times import EPOCH, parse_moment
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from lake.domain.checks import Check, CheckRun, Violation
    from lake.domain.identifiers import Series
    from lake.quality import Scope
    from lake.storage.check_runs import StoredRun
    from lake.storage.lake import Storage

FAILED, VIOLATIONS = 1, 3
# Violations of one check that a screen shows.
_SHOWN = 12
# Runs of one check in its history.
_TREND = 30


def check(
    *names: Annotated[str, Parameter(show_default=False)],
    deep: bool = False,
    fix: bool = False,
    venue: VenueName = None,
    instrument: Instruments = None,
    timeframe: Timeframes = None,
    type_: TypeName = None,
    since: Annotated[str | None, Parameter(name=["--start", "--since"])] = None,
    until: Annotated[str | None, Parameter(name=["--end", "--until"])] = None,
    param: Annotated[list[str] | None, Parameter(name=["--param"])] = None,
    checks: Annotated[Path | None, Parameter(name=["--checks"])] = None,
    list_: Annotated[bool, Parameter(name=["--list"])] = False,
    history: bool = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"])] = False,
    line: Line = DIRECT,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Check the quality of what is stored; exits with 3 where something is wrong.

    Without names those checks run that the catalog can answer, which takes no time; --deep runs
    all of them, and reads every row. What they find is kept, and `lake report` shows it.

    For example:

      lake check

      lake check --deep --venue binance --start 2024-01-01

      lake check spikes --param deviations=20 --json

      lake check --deep --fix

      lake check --list

    Args:
        names: Only these checks, whatever they read.
        deep: Also those that read every row.
        fix: Fetch again what they find, from the venue and then from its archive, check again,
            and say what remains. Rows that change or go are kept in `revisions`.
        venue: Only series of this venue.
        instrument: Only these: ids, codes or patterns.
        timeframe: Only candles of these timeframes.
        type_: Only this data type: ohlcv, trades, funding_rates or orderbook.
        since: Only rows from this moment on, UTC.
        until: Only rows before this moment, UTC.
        param: A value for a parameter of a check: name=value; may be given several times.
        checks: A folder with checks of your own, beside `checks/` in the lake.
        list_: Only list the checks.
        history: Only show how often each check was violated, run by run.
        yes: Do not ask before a repair of more than an hour or 10 GB.
        json: Print one JSON object per violation.
    """
    from lake.quality import known_checks

    with ExitStack() as opened:
        storage = opened.enter_context(place.open_to_write() if fix else place.open())
        known = known_checks(storage.root, checks)
        wanted = _wanted(known, names)
        if list_:
            print_rows([_check_row(each) for each in wanted], as_json=json, empty="no checks")
            return 0
        if history:
            return _print_history(storage, wanted, as_json=json)
        chosen = wanted if names or deep else [each for each in wanted if not each.reads_rows]
        left_out = len(wanted) - len(chosen)
        filters = (venue, instrument, timeframe, type_)
        series = tuple(chosen_series(storage, *filters))
        now = utc_now()
        scope = _scope(series if any(filters) else None, since, until, now)
        values = _values(param or [])
        if fix:
            repairing.mend_files(storage, deep=deep)
        runs = _run(storage, chosen, scope, values, now)
        if fix:
            runs = repairing.repair(
                storage,
                line.settings(storage.root),
                runs,
                held=series,
                window=_window(scope, now),
                now=now,
                again=lambda: _run(storage, chosen, scope, values, now),
                yes=yes,
            )
    return _print_runs(runs, left_out, as_json=json)


def _scope(
    series: tuple[Series, ...] | None, since: str | None, until: str | None, now: datetime
) -> Scope:
    from lake.quality import Scope

    first = None if since is None else parse_moment(since, now=now)
    last = None if until is None else parse_moment(until, now=now)
    if first is not None and last is not None and first >= last:
        raise InvalidRequest(f"--start {since} is not before --end {until}.")
    return Scope(series, first, last)


def _window(scope: Scope, now: datetime) -> TimeRange | None:
    if scope.since is None and scope.until is None:
        return None
    return range_or_none(scope.since or EPOCH, scope.until or now)


def _wanted(known: Sequence[Check], names: Sequence[str]) -> list[Check]:
    found = {each.name: each for each in known}
    if unknown := [name for name in names if name not in found]:
        from difflib import get_close_matches

        near = get_close_matches(unknown[0], found, n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise InvalidRequest(
            f"There is no check called {', '.join(unknown)}.{hint} `lake check --list` names them."
        )
    return [found[name] for name in dict.fromkeys(names)] if names else list(known)


def _run(
    storage: Storage,
    chosen: Sequence[Check],
    scope: Scope,
    values: Mapping[str, str],
    now: datetime,
) -> list[CheckRun]:
    from lake.quality import run_checks

    with _progress(len(chosen)) as told:
        return run_checks(storage, chosen, now=now, scope=scope, parameters=values, told=told)


def _values(texts: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidRequest(f"--param {text!r} is not name=value, for example deviations=20.")
        values[name] = value
    return values


@contextmanager
def _progress(count: int) -> Iterator[Callable[[Check, int, int], None]]:
    """One line that says which check runs, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda check, number, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("checks", total=count)
        seen: set[str] = set()

        def told(check: Check, number: int, of: int) -> None:
            seen.add(check.name)
            part = f" ({number} of {of})" if of > 1 else ""
            bar.update(task, completed=len(seen) - 1, description=f"{check.name}{part}")

        yield told


def _check_row(check: Check) -> Row:
    parameters = ", ".join(f"{each.name}={each.default}" for each in check.parameters)
    return {
        "check": check.name,
        "version": check.version,
        "severity": check.severity,
        "reads": " ".join(check.reads),
        "own": "shipped" if check.is_own else "yours",
        "parameters": parameters or None,
        "returns": check.returns,
    }


def _print_runs(runs: Sequence[CheckRun], left_out: int, *, as_json: bool) -> int:
    if as_json:
        rows = [_violation_row(run.check, each) for run in runs for each in run.found]
        print_rows(rows, as_json=True, empty="")
    else:
        print_rows([_run_row(run) for run in runs], as_json=False, empty="nothing to check")
        for run in runs:
            _print_found(run)
        if left_out:
            print(
                f"{counted(left_out, 'check')} that read every row did not run: lake check --deep",
                file=sys.stderr,
            )
    for run in runs:
        if run.error is not None:
            print_error("lake check", f"{run.check.name} could not be run: {run.error}")
    if any(run.status is RunStatus.FAILED for run in runs):
        return FAILED
    return VIOLATIONS if any(run.status is RunStatus.VIOLATED for run in runs) else 0


def _run_row(run: CheckRun) -> Row:
    seconds = (run.finished_at - run.started_at).total_seconds()
    counts = [
        counted(run.counts[severity], severity.value, "info" if severity is Severity.INFO else None)
        for severity in Severity
        if run.counts.get(severity)
    ]
    result = "could not be run" if run.status is RunStatus.FAILED else ", ".join(counts)
    return {"check": run.check.name, "result": result or "passed", "seconds": round(seconds, 2)}


def _print_found(run: CheckRun) -> None:
    told = [each for each in run.found if each.severity is not Severity.INFO] or list(run.found)
    if not told:
        return
    print()
    rows = [_violation_row(run.check, each) for each in told[:_SHOWN]]
    for row in rows:
        del row["check"]
    print(f"{run.check.name}: {run.check.returns}")
    print_rows(rows, as_json=False, empty="")
    if (more := run.violations - len(rows)) > 0:
        print(f"... and {more:,} more: lake check {run.check.name} --json", file=sys.stderr)


def _violation_row(check: Check, violation: Violation) -> Row:
    return {
        "check": check.name,
        "severity": violation.severity,
        "data_type": violation.data_type,
        "venue": violation.venue,
        "instrument": violation.instrument,
        "timeframe": violation.timeframe,
        "start": violation.start,
        "end": violation.end,
        "rows": violation.rows,
        "detail": violation.detail,
    }


def _print_history(storage: Storage, checks: Sequence[Check], *, as_json: bool) -> int:
    rows = [
        _history_row(run) for check in checks for run in storage.checks.runs(check.name)[-_TREND:]
    ]
    print_rows(rows, as_json=as_json, empty="no check was run yet: lake check")
    return 0


def _history_row(run: StoredRun) -> Row:
    return {
        "check": run.name,
        "version": run.version,
        "at": run.started_at.replace(microsecond=0),
        "status": run.status,
        "violations": run.violations,
        "scope": " ".join(f"{key}={value}" for key, value in run.scope.items()) or "all",
        "parameters": " ".join(f"{key}={value}" for key, value in run.parameters.items()) or None,
    }
