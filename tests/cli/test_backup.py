"""The backup recipe of docs/cron.md, run as it stands there, while the lake grows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import REPOSITORY, Run, clean_environment

STAND_IN = """#!{python}
import re, sys
import apsw
into = re.fullmatch(r"\\.backup '(.*)'", sys.argv[2])[1]
source, target = apsw.Connection(sys.argv[1]), apsw.Connection(into)
with target.backup("main", source, "main") as backup:
    backup.step()
"""


def recipe() -> list[str]:
    """The lines of the recipe, with the lake and the copy as relative folders."""
    text = (REPOSITORY / "docs/cron.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```sh\n(lake=.*?)```", text, re.DOTALL)
    block = block.replace("/srv/lake", "lake").replace("/backup/lake", "copy")
    return block.replace("/opt/mdlake/.venv/bin/lake", f"{sys.executable} -m lake").splitlines()


def shell(lines: list[str], folder: Path) -> None:
    environment = clean_environment()
    if shutil.which("sqlite3") is None:
        program = folder / "bin/sqlite3"
        program.parent.mkdir(exist_ok=True)
        program.write_text(STAND_IN.format(python=sys.executable), encoding="utf-8")
        program.chmod(0o755)
        environment["PATH"] = f"{program.parent}:{environment['PATH']}"
    subprocess.run(
        ["/bin/sh", "-euc", "\n".join(lines)],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
    )


def test_a_copy_made_while_the_lake_grows_is_a_whole_lake(
    run: Run, backfill: Run, tmp_path: Path
) -> None:
    """Between the copy of the catalog and that of the files, one file grows and one is new."""
    variables, *steps = recipe()
    backed_up = 1 + next(at for at, line in enumerate(steps) if line.startswith("sqlite3"))
    backfill("BTC/USDT", "--start", "2024-01-01", "--end", "2024-01-02", "--data", "lake")
    (tmp_path / "lake/lake.toml").write_text("max_workers = 3\n", encoding="utf-8")

    shell([variables, *steps[:backed_up]], tmp_path)
    backfill("BTC/USDT", "ETH/USDT", "--data", "lake")
    shell([variables, *steps[backed_up:]], tmp_path)

    for command in ("status", "gaps"):
        lake, copy = (
            json.loads(run(command, "--data", folder, "--json").out) for folder in ("lake", "copy")
        )
        for each in (*lake, *copy):
            # What the venue said about a candle beside its row is in the catalog alone, so the
            # copy may know less of why one is missing.
            each.pop("reason", None)
            each.pop("evidence", None)
        assert copy == lake
        assert len(copy) == 2
    checked = run("doctor", "--deep", "--data", "copy")
    assert checked.code == 0
    assert re.search(r"max_workers +3 ", checked.out)
