"""lake import of a file of no known format, on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TRADES = "time,px,size,way,fee\n01.03.2024 13:00,100,1,1,0\n01.03.2024 13:01,101,2,2,0\n"


def lake(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lake", *words, "--data", str(folder / "data")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_mapped_file_is_imported_and_read_back(tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text(TRADES)
    words = ["import", "my.csv", "--venue", "KRAKEN", "--instrument", "BTC/USD", "--type", "trades"]
    words += ["--map", "ts=time,price=px,quantity=size,side=way", "--sides", "1=buy,2=sell"]
    words += ["--time-format", "%d.%m.%Y %H:%M", "--timezone", "Europe/Berlin", "--json"]

    unnamed = lake(tmp_path, *words)
    done = lake(tmp_path, *words, "--ignore", "fee")
    asked = lake(
        tmp_path, "sql", "select ts, price, side from trades('BTCUSD.KRAKEN')", "--format", "json"
    )

    assert unnamed.returncode == 1
    assert "--ignore fee" in unnamed.stderr
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["rows"] == 2
    rows = json.loads(asked.stdout)
    assert [(row["price"], row["side"]) for row in rows] == [(100, "buy"), (101, "sell")]
    assert rows[0]["ts"].startswith("2024-03-01T12:00")


def test_a_mapping_in_toml_says_what_the_file_is_of(tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text("when,px,size\n2024-03-01T12:00Z,100,1\n")
    (tmp_path / "my.toml").write_text(
        'venue = "KRAKEN"\ninstrument = "BTC/USD"\ntype = "trades"\n'
        '[columns]\nts = "when"\nprice = "px"\nquantity = "size"\n'
    )

    done = lake(tmp_path, "import", "my.csv", "--mapping", "my.toml")

    assert done.returncode == 0, done.stderr
    assert "1 rows added" in done.stdout


def test_options_of_a_mapping_need_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text(TRADES)

    done = lake(tmp_path, "import", "my.csv", "--ignore", "fee")

    assert done.returncode == 2
    assert "--map ts=COLUMN" in done.stderr
    assert not (tmp_path / "data").exists()
