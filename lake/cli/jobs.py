"""jobs: the table of what was asked of venues, and how each request went."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from lake.cli.arguments import DIRECT, HERE, Line, Place, span_of, utc_now, words
from lake.cli.output import Row, counted, print_error, print_rows
from lake.domain.identifiers import DataType
from lake.domain.jobs import Job, JobState
from lake.errors import InvalidRequest

if TYPE_CHECKING:
    from lake.cli.interrupt import Interrupts
    from lake.config import Settings
    from lake.storage.lake import Storage

app = App(name="jobs", help="What was asked of venues, and how it went.")

JobId = Annotated[str, Parameter(name=["--job"])]


@app.default
@app.command(name="list")
def list_jobs(
    *,
    state: Annotated[list[str] | None, Parameter(name=["--state"])] = None,
    type_: Annotated[str | None, Parameter(name=["--type"])] = None,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """List the jobs, the newest last.

    For example:

      lake jobs list --state failed

    Args:
        state: Only jobs in this state: pending, running, completed, failed, cancelled.
        type_: Only jobs of this data type: ohlcv, trades, funding_rates or orderbook.
        json: Print one JSON object per job.
    """
    states = None if state is None else [_state(each) for each in words(state)]
    kind = None if type_ is None else DataType.from_str(type_)
    with place.open() as storage:
        rows = [
            _row(job) for job in storage.jobs.list(states) if kind is None or job.data_type is kind
        ]
    print_rows(rows, as_json=json, empty="no jobs")
    return 0


@app.command
def show(job: JobId, *, place: Place = HERE, json: bool = False) -> int:
    """Show one job with all that is known of it.

    For example:

      lake jobs show 02cfc943

    Args:
        job: The job's id, or as much of its beginning as no other has.
        json: Print one JSON object.
    """
    with place.open() as storage:
        found = _find(storage, job)
    row = _row(found) | {
        "kind": found.kind,
        "refetch": found.refetch,
        "cancel_requested": found.cancel_requested,
        "attempts": found.attempts,
        "created_at": found.created_at,
        "started_at": found.started_at,
        "finished_at": found.finished_at,
        "lease_owner": found.lease_owner,
        "lease_until": found.lease_until,
    }
    if json:
        print_rows([row], as_json=True, empty="")
    else:
        print_rows(
            [{"field": name, "value": value} for name, value in row.items()],
            as_json=False,
            empty="",
        )
    return 0


@app.command
def cancel(job: JobId, *, place: Place = HERE) -> int:
    """Ask a job to stop; what it stored stays.

    For example:

      lake jobs cancel 02cfc943

    Args:
        job: The job's id, or as much of its beginning as no other has.
    """
    with place.open_to_write() as storage:
        found = _find(storage, job)
        if found.status.is_final:
            raise InvalidRequest(
                f"Job {found.job_id} is {found.status.value} already; there is nothing to cancel."
            )
        storage.jobs.request_cancel(found.job_id)
    print(f"job {found.job_id} will stop after the pages under way")
    return 0


@app.command
def retry(job: JobId, *, line: Line = DIRECT, place: Place = HERE) -> int:
    """Run a job that failed or was cancelled again: what it wants minus what is held.

    For example:

      lake jobs retry 02cfc943

    Args:
        job: The job's id, or as much of its beginning as no other has.
    """
    from lake.cli import interrupt

    settings = line.settings(place.root())
    with place.open_to_write() as storage:
        found = _find(storage, job)
        storage.jobs.retry(found.job_id)
        return interrupt.run(lambda each: _run(storage, settings, found, each))


@app.command
def clean(*, older_than: str = "7d", place: Place = HERE) -> int:
    """Forget jobs that ended; ranges that failed stay known.

    For example:

      lake jobs clean --older-than 30d

    Args:
        older_than: Only jobs that ended so long ago: 7d (default), 24h.
    """
    span = span_of(older_than, flag="--older-than")
    now = utc_now()
    # Nothing is older than a century; the calendar itself ends at the year 1.
    before = now - min(span, timedelta(days=36_500))
    with place.open_to_write() as storage:
        count = storage.jobs.clean(before)
    print(f"{counted(count, 'job')} forgotten; those that ended within {older_than} stay")
    return 0


async def _run(storage: Storage, settings: Settings, job: Job, interrupts: Interrupts) -> int:
    from lake.cli.fetch import engine
    from lake.cli.interrupt import INTERRUPTED
    from lake.cli.progress import progress_for
    from lake.cli.update import PARTLY_DONE

    progress = progress_for()
    async with engine(storage, settings, progress) as backfill:
        interrupts.stop_with(backfill.stop)
        with progress:
            ended = await backfill.run_job(job.job_id)
    print(f"{ended.series}: {ended.rows:,} rows stored, {ended.state.value}")
    if ended.state is JobState.FAILED:
        print_error(f"lake: {ended.series} failed", ended.error or "no reason was given")
        return 1
    if interrupts.count:
        return INTERRUPTED
    return 0 if ended.state is JobState.COMPLETED else PARTLY_DONE


def _find(storage: Storage, text: str) -> Job:
    """The job of that id, or the only one whose id begins so."""
    beginning = [job for job in storage.jobs.list() if job.job_id.startswith(text)]
    if len(beginning) == 1:
        return beginning[0]
    if len(beginning) > 1 and all(job.job_id != text for job in beginning):
        raise InvalidRequest(
            f"{len(beginning)} jobs begin with {text!r}. Write more of the id; "
            "`lake jobs` lists them."
        )
    return storage.jobs.get(text)


def _state(text: str) -> JobState:
    try:
        return JobState(text.strip().lower())
    except ValueError:
        names = ", ".join(each.value for each in JobState)
        raise InvalidRequest(f"{text!r} is not a job state. Use one of: {names}.") from None


def _row(job: Job) -> Row:
    return {
        "job_id": job.job_id,
        "venue": job.venue.name,
        "instrument": job.instrument_id.symbol,
        "timeframe": job.timeframe,
        "data_type": job.data_type,
        "start": job.start_time,
        "end": job.end_time,
        "state": job.status.value,
        "progress": round(job.progress, 4),
        "rows": job.rows,
        "error": job.error,
    }
