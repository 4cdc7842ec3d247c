"""Checks as they are run: scope, versions, parameters, what is remembered, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from lake.domain.checks import RunStatus, Severity
from lake.domain.coverage import Basis, Claim
from lake.errors import InvalidRequest
from lake.quality import Scope, known_checks, read_check, run_checks
from lake.storage.lake import Storage
from lake.warehouse import Warehouse
from tests.quality.kit import DAY, answered, candle_series, candles, minute, minutes, store

NOW = DAY + timedelta(days=1)
BITCOIN, ETHER = candle_series(), candle_series("ETHUSDT.BINANCE")
OWN = """-- check: late_minutes
-- version: {version}
-- severity: {severity}
-- reads: ohlcv
-- reach: series
-- parameters: from_minute = 50: the first that is late
-- returns: candles from that minute on
-- blind to: all else
-- why: an example
select 'ohlcv' as data_type, venue, instrument, timeframe, ts as start_ts, close_ts as end_ts,
    1 as rows, concat('minute ', minute(ts)) as detail{more}
from checked_ohlcv
where minute(ts) >= coalesce(getvariable('from_minute')::integer, 50)
order by ts
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "lake"
    with Storage.open(root, create=True) as storage:
        for series in (BITCOIN, ETHER):
            rows = candles([minute(number) for number in range(60) if number != 30])
            store(storage, series, rows, [answered(minutes(0, 60))])
    own(root)
    return root


def own(root: Path, version: int = 1, severity: str = "warning", more: str = "") -> Path:
    path = root / "checks" / "late_minutes.sql"
    path.parent.mkdir(exist_ok=True)
    path.write_text(OWN.format(version=version, severity=severity, more=more), encoding="utf-8")
    return path


def lake(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lake", "check", *words, "--data", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_check_of_the_users_own_runs_like_ours_and_is_remembered(root: Path) -> None:
    found = lake(root, "late_minutes", "--param", "from_minute=58", "--json")

    assert found.returncode == 3, found.stderr
    told = json.loads(found.stdout)
    assert sorted((each["instrument"], each["detail"], each["severity"]) for each in told) == [
        ("BTCUSDT", "minute 58", "warning"),
        ("BTCUSDT", "minute 59", "warning"),
        ("ETHUSDT", "minute 58", "warning"),
        ("ETHUSDT", "minute 59", "warning"),
    ]
    with Storage.open(root) as storage:
        [run] = storage.checks.runs("late_minutes")
        kept = storage.checks.results(run.run_id)
    assert (run.status, run.violations, run.parameters) == (
        RunStatus.VIOLATED,
        4,
        {"from_minute": "58"},
    )
    assert {each.start for each in kept} == {minute(58), minute(59)}


def test_scope_is_what_was_asked_for_and_nothing_else(root: Path) -> None:
    with Storage.open(root) as storage:
        [check] = [each for each in known_checks(root) if each.name == "late_minutes"]
        scope = Scope((ETHER,), minute(51), minute(53))
        [run] = run_checks(storage, [check], now=NOW, scope=scope)
        nothing = run_checks(storage, [check], now=NOW, scope=Scope((), None, None))

    assert [(each.instrument, each.start) for each in run.found] == [
        ("ETHUSDT", minute(51)),
        ("ETHUSDT", minute(52)),
    ]
    assert run.scope == {
        "series": "ETHUSDT.BINANCE ohlcv 1m",
        "since": "2024-01-01T00:51:00",
        "until": "2024-01-01T00:53:00",
    }
    assert nothing == []


def test_a_text_that_changed_under_its_version_is_refused(root: Path) -> None:
    assert lake(root, "late_minutes").returncode == 3
    own(root, severity="error")

    refused = lake(root, "late_minutes")
    own(root, version=2, severity="error")
    raised = lake(root, "late_minutes")
    own(root, version=1)
    older = lake(root, "late_minutes")

    assert refused.returncode == 2
    assert "Raise the version in its header" in refused.stderr
    assert raised.returncode == 3
    assert "20 errors" in raised.stdout
    assert older.returncode == 2
    assert "version 2 of it has been run" in older.stderr


def test_information_lets_a_run_pass(root: Path) -> None:
    own(root, more=", 'info' as severity")

    passed = lake(root, "late_minutes")

    assert passed.returncode == 0
    assert "20 info" in passed.stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["late_minute"], "Did you mean late_minutes"),
        (["late_minutes", "--param", "from=3"], "They have: from_minute."),
        (["late_minutes", "--param", "from_minute"], "is not name=value"),
        (["--start", "2024-02-01", "--end", "2024-01-01"], "is not before --end"),
        (["--instrument", "NOPE"], "The lake holds nothing that fits 'NOPE'"),
        (["--checks", "/nowhere/at/all"], "is no folder"),
    ],
)
def test_a_wrong_request_says_what_to_do(root: Path, words: list[str], why: str) -> None:
    refused = lake(root, *words)

    assert refused.returncode == 2
    assert why in refused.stderr


def test_a_check_that_cannot_be_run_is_named_and_the_others_run(root: Path) -> None:
    path = root / "checks" / "late_minutes.sql"
    broken = path.read_text().replace("from checked_ohlcv", "from no_such_table")
    path.write_text(broken, encoding="utf-8")

    found = lake(root, "late_minutes", "candle_gaps")

    assert found.returncode == 1
    assert "late_minutes could not be run" in found.stderr
    assert "candle_gaps" in found.stdout


def test_what_is_no_check_is_refused_with_its_place(root: Path) -> None:
    path = root / "checks" / "other.sql"
    path.write_text("-- check: other\nselect 1", encoding="utf-8")
    with pytest.raises(InvalidRequest, match="does not say version, severity, reads"):
        read_check(path)
    path.write_text(OWN.format(version=1, severity="bad", more=""), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="calls itself 'late_minutes'"):
        read_check(path)
    again = own(root)
    again.write_text(again.read_text().replace("warning", "bad"), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="severity: bad"):
        read_check(again)


def test_rows_are_read_only_where_that_was_asked_for(root: Path) -> None:
    quick = lake(root)
    deep = lake(root, "--deep")

    assert "late_minutes" not in quick.stdout
    assert "that read every row did not run: lake check --deep" in quick.stderr
    assert "late_minutes" in deep.stdout


def test_the_trend_shows_every_run(root: Path) -> None:
    for minute_of in ("58", "55"):
        lake(root, "late_minutes", "--param", f"from_minute={minute_of}")

    told = json.loads(lake(root, "late_minutes", "--history", "--json").stdout)

    assert [(each["violations"], each["parameters"]) for each in told] == [
        (4, "from_minute=58"),
        (10, "from_minute=55"),
    ]


def test_a_lake_that_cannot_be_written_is_checked_and_nothing_is_kept(root: Path) -> None:
    with Storage.open(root, read_only=True) as storage:
        checks = [each for each in known_checks(root) if each.name == "late_minutes"]
        [run] = run_checks(storage, checks, now=NOW)
        kept = storage.checks.runs()

    assert run.counts == {Severity.WARNING: 20}
    assert kept == []


def test_quality_tells_of_every_series_what_is_held_missing_refused_and_doubled(
    root: Path,
) -> None:
    assert lake(root, "duplicates").returncode == 0
    with Warehouse(root) as warehouse:
        rows = warehouse.query("from quality").rows(named=True)

    told = [
        (row["rows"], row["expected_count"], row["missing_count"], row["duplicate_count"])
        for row in rows
    ]
    assert told == [(59, 60, 1, 0), (59, 60, 1, 0)]
    assert [row["rejected_count"] for row in rows] == [0, 0]
    assert all(row["age"] > timedelta(days=365) for row in rows)


def test_every_row_of_an_import_may_be_missing_something_and_says_so(root: Path) -> None:
    with Storage.open(root) as storage:
        rows = candles([minute(0), minute(5)])
        claim = Claim(minutes(0, 6), Basis.ROWS_ONLY)
        store(storage, candle_series("SOLUSDT.BINANCE"), rows, [claim], kind="import")

    found = json.loads(lake(root, "candle_gaps", "--json").stdout)
    found = [each for each in found if each["instrument"] == "SOLUSDT"]

    assert [(each["rows"], each["severity"]) for each in found] == [(4, "error")]
    assert "which does not promise to be whole" in found[0]["detail"]
