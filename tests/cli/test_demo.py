"""`make demo` from one end to the other; it may be run again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import clean_environment


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lake", "demo"],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_demo_fills_a_lake_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    """A half-written market of a demo that was killed must not spoil every later one."""
    unfinished = tmp_path / "build/demo/market.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "lake.json").write_text(
        '{"format": 1, "id": "0", "created": "2024-01-01", "origin": "synthetic"}', encoding="utf-8"
    )

    first = demo(tmp_path)
    second = demo(tmp_path)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert not unfinished.exists()
    # 3 x 90 days of 1m and 1h, less the outage, and less SOL before it was listed.
    assert "stored 366,462 candles" in first.stdout
    assert "waiting: BINANCE" in first.stderr
    for reason in ("venue_outage", "before_listing"):
        assert reason in first.stdout
    assert "nothing to do" in second.stdout
    answers = [run.stdout[run.stdout.index("\ninstrument  candles") :] for run in (first, second)]
    assert answers[0] == answers[1]
    assert [line.split()[:2] for line in answers[0].split("\n")[2:5]] == [
        ["BTCUSDT", "2159"],
        ["ETHUSDT", "2159"],
        ["SOLUSDT", "1694"],
    ]
