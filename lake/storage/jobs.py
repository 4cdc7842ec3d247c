"""Jobs and their leases: who may publish rows for what, and how a dead worker is taken over.

A lease says who works on a job; the token that comes with it fences: only the newest token of a
job may publish, whatever a frozen worker believes. This is the one part of the catalog that
cannot be made again from the Parquet files.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from lake.domain.identifiers import Series
from lake.domain.jobs import Job, JobState, Lease
from lake.domain.ranges import TimeRange
from lake.domain.times import from_us, to_us
from lake.errors import InvalidRequest, LeaseLost, StorageError, UnknownJob
from lake.storage.catalog import series_id_of
from lake.storage.connection import Database, Row, Transaction
from lake.storage.coverage import add_cancelled, forget_cancelled, forget_jobs
from lake.storage.process import ProcessIdentity
from lake.storage.records import SERIES_COLUMNS, moment_or_none, series_of

_JOBS = (
    "select job_id, start_time, end_time, status, job.created_at, updated_at, progress, rows, "
    "attempts, error, kind, refetch, cancel_requested, token, lease_owner, lease_until, "
    f"started_at, finished_at, {SERIES_COLUMNS} "
    "from ingestion_jobs as job inner join series using (series_id)"
)


_SERIES_OF = "select series_id from ingestion_jobs where job_id = ?"
_BACKFILL = "backfill"


class Jobs:
    """The table of jobs. Every method is one transaction."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def create(
        self, series: Series, window: TimeRange, *, kind: str = _BACKFILL, refetch: bool = False
    ) -> Job:
        """A pending job that is to bring *window* of *series* into the lake.

        Raises:
            SeriesNotFound: ``ensure_series`` was not called before.
        """
        job_id = uuid.uuid4().hex[:12]
        now = to_us(self._clock())
        with self._database.writing() as transaction:
            series_id = series_id_of(transaction, series)
            transaction.run(
                "insert into ingestion_jobs (job_id, series_id, kind, start_time, end_time, "
                "refetch, status, created_at, updated_at) "
                "values (?, ?, ?, ?, ?, ?, 'pending', ?, ?)",
                (
                    job_id,
                    series_id,
                    kind,
                    to_us(window.start),
                    to_us(window.end),
                    int(refetch),
                    now,
                    now,
                ),
            )
        return self.get(job_id)

    def get(self, job_id: str) -> Job:
        """The job of that id.

        Raises:
            UnknownJob: There is none.
        """
        row = self._database.read_one(f"{_JOBS} where job_id = ?", (job_id,))
        if row is None:
            raise unknown_job(job_id)
        return _job(row)

    def list(self, states: Iterable[JobState] | None = None) -> list[Job]:
        """Jobs in any of *states* (all, where None), oldest first."""
        wanted = tuple(JobState if states is None else states)
        marks = ", ".join("?" * len(wanted))
        rows = self._database.read(
            f"{_JOBS} where status in ({marks}) order by job.created_at, job.rowid",
            tuple(state.value for state in wanted),
        )
        return [_job(row) for row in rows]

    def claim(self, job_id: str, owner: str, *, ttl_s: float = 30) -> Lease:
        """Take the job over, with a token that outranks every earlier one.

        Args:
            job_id: A job that is not completed.
            owner: A name of the worker, for people.
            ttl_s: How long the lease holds without being renewed; commits renew it.

        Raises:
            StorageError: A worker that still lives holds it.
            InvalidRequest: It is completed.
            UnknownJob: There is no such job.
        """
        with self._database.writing() as transaction:
            row = _claimable(transaction, job_id)
            now = self._clock()
            status, token, holder, until, process = row
            if not JobState(status).may_become(JobState.RUNNING):
                raise InvalidRequest(
                    f"Job {job_id} is {status}; there is nothing left to do. Start a new one."
                )
            if status == JobState.RUNNING.value and is_alive(until, process, now):
                raise StorageError(
                    f"Job {job_id} is being worked on by {holder} (process "
                    f"{ProcessIdentity.from_json(process).pid}). Wait for it, or stop it with "
                    f"`lake jobs cancel {job_id}`."
                )
            transaction.run(
                "update ingestion_jobs set status = 'running', token = $token, "
                "attempts = attempts + 1, lease_owner = $owner, lease_until = $until, "
                "lease_ttl = $ttl, lease_process = $process, updated_at = $now, error = null, "
                # Whoever starts a job again wants it done, whatever was wished before.
                "cancel_requested = 0, "
                "started_at = ifnull(started_at, $now), finished_at = null "
                "where job_id = $job_id",
                {
                    "token": token + 1,
                    "owner": owner,
                    "until": to_us(now + timedelta(seconds=ttl_s)),
                    "ttl": int(ttl_s * 1_000_000),
                    "process": ProcessIdentity.current().to_json(),
                    "now": to_us(now),
                    "job_id": job_id,
                },
            )
        return Lease(job_id, token + 1, owner)

    def renew(self, lease: Lease, *, ttl_s: float = 30) -> Job:
        """Hold the lease for *ttl_s* more; the job says whether it is to be cancelled.

        Raises:
            LeaseLost: Another worker has claimed the job, or it was ended.
        """
        ttl = int(ttl_s * 1_000_000)
        with self._database.writing() as transaction:
            hold(transaction, lease, self._clock(), ttl)
        return self.get(lease.job_id)

    def extend(self, lease: Lease, end: datetime) -> None:
        """Let the range that the job is about reach up to *end*, where it ends earlier.

        Raises:
            LeaseLost: Another worker has claimed the job, or it was ended.
        """
        with self._database.writing() as transaction:
            require_token(transaction, lease)
            transaction.run(
                "update ingestion_jobs set end_time = max(end_time, ?) where job_id = ?",
                (to_us(end), lease.job_id),
            )

    def finish(self, lease: Lease, state: JobState, error: str | None = None) -> None:
        """End the job, or put it back to pending, and give the lease up.

        Raises:
            LeaseLost: Another worker has claimed the job.
        """
        now = to_us(self._clock())
        with self._database.writing() as transaction:
            series_id = require_token(transaction, lease)
            assert JobState.RUNNING.may_become(state), state
            _note_end(transaction, series_id, lease.job_id, state, error, from_us(now))
            transaction.run(
                "update ingestion_jobs set status = $status, error = $error, updated_at = $now, "
                "lease_owner = null, lease_until = null, lease_process = null, "
                "progress = case when $status = 'completed' then 1.0 else progress end, "
                "finished_at = case when $status = 'pending' then null else $now end "
                "where job_id = $job_id",
                {"status": state.value, "error": error, "now": now, "job_id": lease.job_id},
            )

    def request_cancel(self, job_id: str) -> None:
        """Wish the job to end. A running one ends between two pages; others end now.

        A running job whose worker is dead ends now too. A job that has ended stays as it is.
        """
        now = self._clock()
        with self._database.writing() as transaction:
            status, _, _, until, process = _claimable(transaction, job_id)
            running = status == JobState.RUNNING.value and is_alive(until, process, now)
            if running:
                transaction.run(
                    "update ingestion_jobs set cancel_requested = 1, updated_at = ? "
                    "where job_id = ?",
                    (to_us(now), job_id),
                )
            elif not JobState(status).is_final:
                # The token rises, so that a worker taken for dead cannot publish any more.
                transaction.run(
                    "update ingestion_jobs set status = 'cancelled', cancel_requested = 1, "
                    "token = token + 1, lease_owner = null, lease_until = null, "
                    "lease_process = null, updated_at = $now, finished_at = $now "
                    "where job_id = $job_id",
                    {"now": to_us(now), "job_id": job_id},
                )
                [series_id] = transaction.rows(_SERIES_OF, (job_id,))[0]
                why = "cancelled on request"
                _note_end(transaction, series_id, job_id, JobState.CANCELLED, why, now)

    def is_worked_on(self, job_id: str) -> bool:
        """Whether the job is running and its worker, as far as can be told, still lives."""
        row = self._database.read_one(
            "select status, lease_until, lease_process from ingestion_jobs where job_id = ?",
            (job_id,),
        )
        if row is None:
            raise unknown_job(job_id)
        return row[0] == JobState.RUNNING.value and is_alive(row[1], row[2], self._clock())

    def retry(self, job_id: str) -> None:
        """Make a job that ended early, or whose worker died, pending again.

        Raises:
            InvalidRequest: It is completed, being worked on, or no backfill.
            UnknownJob: There is no such job.
        """
        now, job = self._clock(), self.get(job_id)
        if job.kind != _BACKFILL:
            # Run as a backfill it would ask the venue for what it was to read from elsewhere.
            raise InvalidRequest(
                f"Job {job_id} is of the kind {job.kind!r}; only backfills are retried as jobs. "
                "Run its own command again: what it stored stays."
            )
        with self._database.writing() as transaction:
            status, _, _, until, process = _claimable(transaction, job_id)
            running = status == JobState.RUNNING.value and is_alive(until, process, now)
            if running or status == JobState.COMPLETED.value:
                raise InvalidRequest(
                    f"Job {job_id} is {status}; only a job that ended early can be retried."
                )
            # The token rises, so that a worker taken for dead cannot publish any more.
            transaction.run(
                "update ingestion_jobs set status = 'pending', cancel_requested = 0, "
                "token = token + 1, lease_owner = null, lease_until = null, "
                "lease_process = null, error = null, finished_at = null, updated_at = ? "
                "where job_id = ?",
                (to_us(now), job_id),
            )

    def clean(self, older_than: datetime) -> int:
        """Forget jobs that ended before *older_than*; how many. What failed stays known.

        Coverage no longer says which of them brought it, and neighbours with the same evidence
        otherwise become one row.
        """
        with self._database.writing() as transaction:
            cleaned = transaction.run(
                "delete from ingestion_jobs where finished_at < ? "
                "and status in ('completed', 'failed', 'cancelled')",
                (to_us(older_than),),
            )
            if cleaned:
                forget_jobs(transaction)
            return cleaned


def require_token(transaction: Transaction, lease: Lease) -> int:
    """The series of the job, if *lease* still carries the job's newest token.

    Inside a write transaction this stays true until it commits: the fence.

    Raises:
        LeaseLost: It does not.
    """
    row = transaction.row(
        "select series_id from ingestion_jobs where job_id = ? and token = ? "
        "and status = 'running'",
        (lease.job_id, lease.token),
    )
    if row is None:
        raise LeaseLost(
            f"Job {lease.job_id} is no longer ours: another worker claimed it or it was ended "
            f"while {lease.owner} was not looking. Nothing of this attempt was published; "
            "`lake jobs show` says who works on it."
        )
    return int(row[0])


def hold(transaction: Transaction, lease: Lease, now: datetime, ttl: int | None = None) -> None:
    """Renew *lease* by *ttl* microseconds, or by as much as it was claimed for."""
    require_token(transaction, lease)
    transaction.run(
        "update ingestion_jobs set lease_ttl = ifnull($ttl, lease_ttl), "
        "lease_until = $now + ifnull($ttl, lease_ttl), updated_at = $now where job_id = $job_id",
        {"ttl": ttl, "now": to_us(now), "job_id": lease.job_id},
    )


def is_alive(lease_until: int | None, process: str | None, now: datetime) -> bool:
    """Whether a running job's worker must be left alone: lease not over, process not gone."""
    if lease_until is None or process is None or lease_until <= to_us(now):
        return False
    return not ProcessIdentity.from_json(process).is_dead()


def _note_end(
    transaction: Transaction,
    series_id: int,
    job_id: str,
    state: JobState,
    why: str | None,
    now: datetime,
) -> None:
    """Keep in mind what a cancelled job left open: that was asked for, and not answered."""
    row = transaction.row(
        "select start_time, end_time, kind from ingestion_jobs where job_id = ?", (job_id,)
    )
    assert row is not None
    window = TimeRange(from_us(row[0]), from_us(row[1]))
    if row[2] == "import":
        return  # its range spans all its files; what lies between them nobody asked for
    if state is JobState.CANCELLED:
        add_cancelled(transaction, series_id, window, job_id, why or "cancelled", now)
    elif state is JobState.COMPLETED:
        forget_cancelled(transaction, series_id, window)


def unknown_job(job_id: str) -> UnknownJob:
    return UnknownJob(f"There is no job {job_id!r}. `lake jobs` lists them.")


def _claimable(transaction: Transaction, job_id: str) -> Row:
    row = transaction.row(
        "select status, token, lease_owner, lease_until, lease_process from ingestion_jobs "
        "where job_id = ?",
        (job_id,),
    )
    if row is None:
        raise unknown_job(job_id)
    return row


def _job(row: Row) -> Job:
    (job_id, start, end, status, created, updated, progress, rows, attempts, error) = row[:10]
    (kind, refetch, cancel, token, owner, until, started, finished) = row[10:18]
    return Job(
        job_id=job_id,
        series=series_of(row[18:]),
        range=TimeRange(from_us(start), from_us(end)),
        status=JobState(status),
        created_at=from_us(created),
        updated_at=from_us(updated),
        progress=progress,
        rows=rows,
        attempts=attempts,
        error=error,
        kind=kind,
        refetch=bool(refetch),
        cancel_requested=bool(cancel),
        token=token,
        lease_owner=owner,
        lease_until=moment_or_none(until),
        started_at=moment_or_none(started),
        finished_at=moment_or_none(finished),
    )
