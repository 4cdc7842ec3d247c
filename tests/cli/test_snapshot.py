"""`lake snapshot`: made, listed, compared and dropped by command; read as a lake."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_a_snapshot_is_listed_verified_and_read(run: Run, backfill: Run, tmp_path: Path) -> None:
    backfill("BTC/USDT", "--end", "2024-01-03", "--start", "2024-01-01", "--data", "lake")

    made = run("snapshot", "create", "june", "--data", "lake")
    backfill("BTC/USDT", "--data", "lake")
    listed = run("snapshot", "list", "--verify", "--json", "--data", "lake")
    there = run("sql", "select count(*) from ohlcv_1h", "--format", "csv", "--data", "lake")
    then = run(
        *("sql", "select count(*) from ohlcv_1h", "--format", "csv"),
        *("--data", tmp_path / "lake/snapshots/june"),
    )

    assert made.code == 0
    assert made.out.startswith("snapshot june: 48 rows in 1 file (")
    [row] = json.loads(listed.out)
    assert listed.code == 0
    assert (row["name"], row["series"], row["files"], row["rows"]) == ("june", 1, 1, 48)
    assert row["state"] == "whole"
    assert there.out.split()[-1] == "71"
    assert then.out.split()[-1] == "48"


def test_a_snapshot_is_no_place_to_write(run: Run, backfill: Run, tmp_path: Path) -> None:
    backfill("BTC/USDT", "--data", "lake")
    run("snapshot", "create", "june", "--data", "lake")

    fetched = backfill("ETH/USDT", "--data", tmp_path / "lake/snapshots/june")
    examined = run("doctor", "--deep", "--data", tmp_path / "lake/snapshots/june")

    assert fetched.code == 2
    assert "It is a snapshot, which never changes." in fetched.err
    assert examined.code == 0


def test_two_states_are_compared_file_by_file(run: Run, backfill: Run) -> None:
    backfill("BTC/USDT", "--start", "2024-01-01", "--end", "2024-01-02", "--data", "lake")
    run("snapshot", "create", "one", "--data", "lake")
    backfill("BTC/USDT", "ETH/USDT", "--data", "lake")
    run("snapshot", "create", "two", "--data", "lake")

    between = json.loads(run("snapshot", "diff", "one", "two", "--json", "--data", "lake").out)
    same = run("snapshot", "diff", "two", "--data", "lake")
    none = run("snapshot", "diff", "one", "three", "--data", "lake")

    told = [
        (row["change"], row["instrument"], row["rows_before"], row["rows_after"]) for row in between
    ]
    assert told == [("changed", "BTCUSDT", 24, 71), ("added", "ETHUSDT", None, 71)]
    assert same.out == "two and the lake hold the same rows\n"
    assert none.code == 2
    assert "has no snapshot 'three'. It has: one, two." in none.err


def test_an_altered_snapshot_is_told_by_name_and_exit_code(
    run: Run, backfill: Run, tmp_path: Path
) -> None:
    backfill("BTC/USDT", "--data", "lake")
    run("snapshot", "create", "june", "--data", "lake")
    [path] = (tmp_path / "lake/snapshots/june").rglob("*.parquet")
    path.unlink()

    unverified = run("snapshot", "list", "--data", "lake")
    verified = run("snapshot", "list", "--verify", "--data", "lake")

    assert unverified.code == 0
    assert "not verified" in unverified.out
    assert verified.code == 3
    assert "data.parquet is missing" in verified.err


def test_dropping_asks_and_leaves_the_lake_alone(run: Run, backfill: Run) -> None:
    backfill("BTC/USDT", "--data", "lake")
    run("snapshot", "create", "june", "--data", "lake")

    asked = run("snapshot", "drop", "june", "--data", "lake")
    shown = run("snapshot", "drop", "june", "--dry-run", "--data", "lake")
    still = json.loads(run("snapshot", "list", "--json", "--data", "lake").out)
    done = run("snapshot", "drop", "june", "--yes", "--data", "lake")

    assert asked.code == 2
    assert "nobody is there to ask. Nothing was changed. Give --yes" in asked.err
    assert shown.out.endswith("would go\n")
    assert len(still) == 1
    assert done.code == 0
    assert run("snapshot", "--data", "lake").out.startswith("no snapshots")
    assert run("doctor", "--deep", "--data", "lake").code == 0
