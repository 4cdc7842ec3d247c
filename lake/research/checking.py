"""What checks find, as a polars frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lake.domain.checks import RunStatus
from lake.errors import InvalidRequest, StorageError
from lake.store.missing import Window

if TYPE_CHECKING:
    import polars as pl

    from lake.storage.lake import Storage


def check(
    storage: Storage,
    names: Sequence[str],
    window: Window,
    parameters: Mapping[str, object],
    *,
    deep: bool,
) -> pl.DataFrame:
    """The violations found; see :meth:`lake.research.Lake.check`."""
    import polars as pl

    from lake.quality import Scope, known_checks, run_checks

    known = {each.name: each for each in known_checks(storage.root)}
    if unknown := [name for name in names if name not in known]:
        raise InvalidRequest(
            f"There is no check called {', '.join(unknown)}. There are: {', '.join(known)}."
        )
    chosen = [known[name] for name in names] or [
        each for each in known.values() if deep or not each.reads_rows
    ]
    runs = run_checks(
        storage,
        chosen,
        now=storage.clock(),
        scope=Scope(None, window.start, window.end),
        parameters={name: str(value) for name, value in parameters.items()},
    )
    for run in runs:
        if run.status is RunStatus.FAILED:
            raise StorageError(f"The check {run.check.name} could not be run: {run.error}")
    return pl.DataFrame(
        [
            (
                run.check.name,
                each.severity.value,
                each.data_type,
                each.venue,
                each.instrument,
                each.timeframe,
                each.start,
                each.end,
                each.rows,
                each.detail,
            )
            for run in runs
            for each in run.found
        ],
        schema={
            "check": pl.String,
            "severity": pl.String,
            "data_type": pl.String,
            "venue": pl.String,
            "instrument": pl.String,
            "timeframe": pl.String,
            "start_ts": pl.Datetime("us"),
            "end_ts": pl.Datetime("us"),
            "rows": pl.Int64,
            "detail": pl.String,
        },
        orient="row",
    )
