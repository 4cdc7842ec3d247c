"""The errors of the lake, split by what the caller does next.

::

    LakeError
    ├── InvalidRequest      fix the call; nothing was fetched or written
    │   ├── SeriesNotFound  ask for a series that is held; near names are in the message
    │   └── NoLake          say where the lake is, or create one
    ├── IncompleteRange     fetch what is missing, or say on_gap="warn"
    ├── SourceError         a venue or a file failed; ``retryable`` says whether to try again
    ├── SchemaMismatch      bad data was refused; nothing was stored
    ├── StorageError        disk or SQLite; what was acknowledged is safe
    │   ├── LeaseLost       another worker took the job over; let it
    │   └── ReadOnlyLake    the lake cannot be written here
    ├── MigrationError      do not continue with this lake
    └── UnknownJob          no job of that id

A message has three parts: what was asked, what is wrong, what to do.
"""

from __future__ import annotations


class LakeError(Exception):
    """Base of every error that the lake raises on purpose."""


class InvalidRequest(LakeError):
    """The call is wrong; nothing was fetched or written."""


class SeriesNotFound(InvalidRequest):
    """The series was never stored."""


class NoLake(InvalidRequest):
    """There is no lake at the place that was named."""


class IncompleteRange(LakeError):
    """A range that is not wholly held was asked for with ``on_gap="raise"``."""


class SourceError(LakeError):
    """A venue or a vendor's file did not give what was asked.

    Attributes:
        retryable: Whether the same request may succeed later.
        retry_after_s: Seconds the venue asked us to wait, where it said so.
        was_retried: Whether the request was repeated as often as makes sense: who asked for it
            in the course of another one does not do so again.
    """

    def __init__(
        self, message: str, *, retryable: bool, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.was_retried = False


class SchemaMismatch(LakeError):
    """Rows do not have the schema, the order or the keys that their data type demands."""


class StorageError(LakeError):
    """The disk or SQLite failed. What was acknowledged before is safe."""


class LeaseLost(StorageError):
    """The job's lease expired and another worker claimed it; nothing of ours was published."""


class ReadOnlyLake(StorageError):
    """The lake cannot be written from here."""


class MigrationError(LakeError):
    """The catalog cannot be brought to this version's schema; do not continue."""


class UnknownJob(LakeError):
    """No job has that id."""
