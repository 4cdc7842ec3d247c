"""Kills a writer again and again and compares the lake with a model after every kill.

Run by test_crash.py as ``python torture.py FOLDER SEED KILLS [sliced]``; says as JSON what it did.
``sliced``: files have many row groups and are merged slice by slice, as large ones are.
Nothing in this process opens a lake: every life of the writer and every look at the lake is a
forked child, because neither SQLite's nor Arrow's state survives a fork.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from storage_kit import HOURLY, SLICED, VENUE, answered, candles, closes, hour, hours

from lake.domain.jobs import JobState
from lake.domain.partitions import Partition, split
from lake.domain.ranges import TimeRange, union
from lake.storage import points
from lake.storage.doctor import examine
from lake.storage.lake import PartitionCommit, Storage
from lake.storage.writing import DEFAULT_SIZES, Sizes

HOURS = 31 * 24 + 29 * 24
"""January and February: two files."""
PAGES = 24
State = dict[int, float]


@dataclass(frozen=True)
class Trial:
    """One lake: where it is, the seed of its pages, and the log of acknowledged commits."""

    root: Path
    seed: int
    log: Path
    sliced: bool = False

    @property
    def sizes(self) -> Sizes:
        return SLICED if self.sliced else DEFAULT_SIZES

    @property
    def acknowledged(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0


def history(seed: int) -> list[tuple[int, State]]:
    """The pages that the writer stores, in order: some anew, some correcting earlier ones."""
    rng = random.Random(seed)
    pages = []
    for number in range(PAGES):
        first = rng.randrange(HOURS)
        count = rng.randrange(1, 90)
        # Several values of a correction are the same as before: those rows must not be revised.
        told = {
            each: 100.0 + rng.choice((0, number))
            for each in range(first, min(first + count, HOURS))
            if rng.random() < 0.9
        }
        pages.append((number, told or {first: 100.0}))
    return pages


def states(pages: list[tuple[int, State]]) -> list[State]:
    """What is held after none, one, two ... of the commits (one per page and partition)."""
    held: State = {}
    seen = [dict(held)]
    for _, told in pages:
        for part in parts(told):
            held |= part
            seen.append(dict(held))
    return seen


def parts(told: State) -> list[State]:
    """A page, cut at partition borders."""
    window = TimeRange(hour(min(told)), hour(max(told) + 1))
    return [
        inside
        for _, piece in split(HOURLY, window)
        if (inside := {each: close for each, close in told.items() if hour(each) in piece})
    ]


def steps(pages: list[tuple[int, State]]) -> list[State]:
    return [part for _, told in pages for part in parts(told)]


def live(trial: Trial) -> None:
    """One life of the writer: go on after the last acknowledged commit, to the end."""
    todo = steps(history(trial.seed))
    with Storage.open(trial.root, create=True, sizes=trial.sizes) as storage:
        storage.catalog.ensure_series(HOURLY, "venue")
        jobs = storage.jobs.list()
        job = jobs[0] if jobs else storage.jobs.create(HOURLY, hours(0, HOURS))
        if job.status is JobState.COMPLETED:
            return
        lease = storage.jobs.claim(job.job_id, "torture")
        log = os.open(trial.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in range(trial.acknowledged, len(todo)):
            told = todo[number]
            storage.commit(
                PartitionCommit(
                    partition=Partition.of(HOURLY, hour(min(told))),
                    rows=candles(told),
                    tag=VENUE,
                    claims=(answered(min(told), max(told) + 1),),
                ),
                lease,
            )
            os.write(log, b".")
        storage.jobs.finish(lease, JobState.COMPLETED)


def look(trial: Trial) -> None:
    """What readers see right after the kill is the last acknowledged state, or the one that
    was being published."""
    seen = states(history(trial.seed))
    done = trial.acknowledged
    held = held_rows(trial.root)
    assert held in seen[done : done + 2], f"after {done} commits: {difference(held, seen[done])}"


def look_again(trial: Trial) -> None:
    """Start-up brings the catalog into step and leaves nothing of the dead worker behind."""
    with Storage.open(trial.root, sizes=trial.sizes) as storage:
        assert storage.database.read("select * from intents") == []
        assert storage.database.read("select * from revisions where pending = 1") == []
        assert sorted((trial.root / "parquet").rglob("*.tmp")) == []
        findings = [each for each in examine(storage, deep=True) if each.severity == "error"]
        assert findings == [], findings
        rows = sum(info.rows for info in storage.catalog.partitions(HOURLY))
    held = held_rows(trial.root)
    assert rows == len(held)
    look(trial)


def look_at_the_end(trial: Trial) -> None:
    """Nothing lost, nothing twice: rows, coverage, revisions and counts are those of a writer
    that was never killed."""
    todo = steps(history(trial.seed))
    seen = states(history(trial.seed))
    held = held_rows(trial.root)
    assert held == seen[-1], difference(held, seen[-1])
    with Storage.open(trial.root, sizes=trial.sizes) as storage:
        [job] = storage.jobs.list()
        assert job.status is JobState.COMPLETED
        expected: list[tuple[int, float]] = []
        stored = 0
        for before, told in zip(seen, todo, strict=False):
            changed = [each for each in told if each in before and before[each] != told[each]]
            expected += [(each, before[each]) for each in changed]
            stored += len(changed) + sum(each not in before for each in told)
        assert job.rows == stored, (job.rows, stored)
        revisions = [
            ((each.ts - hour(0)).total_seconds() // 3600, each.old_row["close"])
            for each in storage.catalog.revisions(HOURLY)
        ]
        assert sorted(revisions) == sorted(expected)
        covered = [each.range for each in storage.catalog.coverage(HOURLY)]
        asked = [hours(min(told), max(told) + 1) for told in todo]
        assert union(covered) == union(asked)
    look_again(trial)


def held_rows(root: Path) -> State:
    """All rows of the tree, read without the catalog."""
    import pyarrow.parquet as pq

    held: State = {}
    for path in sorted((root / "parquet").rglob("*.parquet")):
        with path.open("rb") as file:
            rows = closes(pq.read_table(file))
        assert not set(rows) & set(held), "a row in two files"
        held |= rows
    return held


def difference(held: State, wanted: State) -> str:
    lost = sorted(set(wanted) - set(held))
    extra = sorted(set(held) - set(wanted))
    other = sorted(each for each in set(held) & set(wanted) if held[each] != wanted[each])
    return f"lost {lost[:5]}, extra {extra[:5]}, other {other[:5]}"


def in_child(work: Callable[[Trial], None], trial: Trial) -> None:
    """Run *work* in a forked child, which must end well."""
    status = os.waitpid(start(work, trial), 0)[1]
    assert status == 0, f"{work.__name__} of {trial} failed"


def start(work: Callable[[Trial], None], trial: Trial) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work(trial)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def is_killed(trial: Trial, point: str | None, count: int, delay: float) -> bool:
    """A life that ends at *point*, or after *delay* seconds; whether it was killed."""

    def work(trial: Trial) -> None:
        if point is not None:
            points.install(points.killer(point, count))
        live(trial)

    child = start(work, trial)
    if point is None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "the writer failed by itself"
    return False


def main() -> None:
    folder, seed, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    sliced = sys.argv[4:] == ["sliced"]
    known = (*points.POINTS, *points.SLICED_POINTS) if sliced else points.POINTS
    rng = random.Random(seed)
    killed: Counter[str] = Counter()
    lakes = 0
    life_s, delay = 0.05, 0.0
    # Each named point in turn, and a random instant for every two of them.
    targets: list[str | None] = []
    while len(targets) < kills:
        targets += [*known, *[None] * (len(known) // 2)]
    targets = targets[:kills]
    rng.shuffle(targets)
    while targets:
        trial = Trial(
            folder / f"lake-{lakes}",
            seed * 1_000_003 + lakes,
            folder / f"acknowledged-{lakes}",
            sliced,
        )
        lakes += 1
        while targets:
            point = targets.pop()
            count = 1
            if point is None:
                delay = rng.uniform(0, 1.5 * life_s)
            elif point.startswith("reconcile."):
                # Start-up has work only where a writer died with an intent.
                before = rng.choice(("temporary.synced", "publish.renamed", "publish.recorded"))
                if not is_killed(trial, before, 1, 0):
                    targets.append(point)
                    break
                killed[before] += 1
                in_child(look, trial)
            else:
                count = rng.randrange(1, 4)
            began = time.monotonic()
            if not is_killed(trial, point, count, delay):
                life_s = time.monotonic() - began
                targets.insert(0, point)
                break
            killed[point or "anywhere"] += 1
            if (trial.root / "lake.json").exists():
                in_child(look, trial)
                # Half of the time only, so that a second kill meets what the first left.
                if rng.random() < 0.5:
                    in_child(look_again, trial)
        in_child(live, trial)
        in_child(look_at_the_end, trial)
    print(json.dumps({"kills": sum(killed.values()), "lakes": lakes, "at": killed}))


if __name__ == "__main__":
    main()
