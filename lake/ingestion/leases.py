"""The lease of one job: claimed, kept while the job is planned, given up where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from lake.domain.jobs import Job, JobState, Lease
from lake.domain.ranges import subtract
from lake.errors import LakeError

if TYPE_CHECKING:
    from lake.storage.lake import Storage

LEASE_S = 30.0


async def claim(storage: Storage, job: Job, owner: str) -> Lease:
    """Takes *job* over; see :meth:`lake.storage.jobs.Jobs.claim`."""
    claiming = asyncio.ensure_future(
        asyncio.to_thread(storage.jobs.claim, job.job_id, owner, ttl_s=LEASE_S)
    )
    try:
        return await asyncio.shield(claiming)
    except asyncio.CancelledError:
        # The thread goes on; a lease that nobody knows of would block the job for a while.
        abandon(storage, await claiming)
        raise


def abandon(storage: Storage, lease: Lease) -> None:
    """Ends a job at once, without waiting for anything; a newer holder ends it itself."""
    with suppress(LakeError):
        storage.jobs.finish(lease, JobState.CANCELLED, "stopped at once")


@asynccontextmanager
async def kept(storage: Storage, lease: Lease) -> AsyncIterator[None]:
    """Renews *lease* meanwhile: a venue that is down takes longer to give up than it lasts."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(LEASE_S / 5)
            # Who has lost it hears so from the first thing that is published or ended.
            with suppress(LakeError):
                await asyncio.to_thread(storage.jobs.renew, lease, ttl_s=LEASE_S)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


def fail(storage: Storage, job: Job, lease: Lease, error: str) -> None:
    """End *job* as failed. What it leaves open stays known after the job is cleaned.

    A newer holder of the job ends it itself.
    """
    with suppress(LakeError):
        storage.jobs.renew(lease, ttl_s=LEASE_S)
        answered = [each.range for each in storage.catalog.coverage(job.series) if each.promises]
        for left in subtract([job.range], answered):
            storage.catalog.add_failed(job.series, left, job.job_id, error)
        storage.jobs.finish(lease, JobState.FAILED, error)
