"""Settings: which of flag, variable, file and default wins, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake.config import load
from lake.errors import InvalidRequest
from tests.cli.conftest import Run


def write(text: str) -> Path:
    Path("lake.toml").write_text(text, encoding="utf-8")
    return Path()


def test_flags_go_before_variables_before_the_file_before_defaults() -> None:
    root = write("rate_share = 0.1\nmax_workers = 1\nmin_free = '1 GiB'")

    settings = load(
        root,
        environment={"LAKE_RATE_SHARE": "0.2", "LAKE_MAX_WORKERS": "2"},
        flags={"rate_share": 0.3, "max_workers": None},
    )

    assert settings.rate_share == 0.3
    assert settings.max_workers == 2
    assert settings.min_free == 1 << 30
    assert settings.base_url is None
    assert dict(settings.origins) == {
        "rate_share": "--rate-share",
        "max_workers": "LAKE_MAX_WORKERS",
        "min_free": "lake.toml",
        "base_url": "default",
        "accept_base_url": "default",
        "archive_url": "default",
        "source": "default",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate_shaer = 0.5", "'rate_shaer' in lake.toml is no setting"),
        ("rate_share = 1.5", "rate_share = 1.5 (lake.toml) cannot be used"),
        ("rate_share = 'half'", "rate_share = 'half'"),
        ("max_workers = 0", "from 1 to 64"),
        ("min_free = 'much'", "is not a size"),
        ("base_url = 'example'", "http://"),
        ("accept_base_url = 'maybe'", "neither true nor false"),
        ("source = 'ftp'", "none of auto, archive, rest"),
        ("rate_share = ", "lake.toml cannot be read"),
        ("keep = 1", "[[keep]]"),
        ("[[keep]]\nvenue = 'binance'", "lacks instruments, start"),
        ("[[keep]]\nvenu = 'binance'", "'venu' of a [[keep]] in lake.toml is unknown"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_file(text: str, message: str) -> None:
    root = write(text)

    with pytest.raises(InvalidRequest) as refused:
        load(root, environment={}, flags={})

    assert message in str(refused.value)


def test_an_unknown_variable_is_refused() -> None:
    """A misspelt setting must not be silently without effect."""
    with pytest.raises(InvalidRequest, match="LAKE_RATE_SHAER is no setting"):
        load(None, environment={"LAKE_RATE_SHAER": "1"}, flags={})


def test_variables_of_other_purposes_are_let_be() -> None:
    settings = load(
        None, environment={"LAKE_DATA": "x", "LAKE_TEST_KILL_AT": "y", "LAKEHOUSE": "z"}, flags={}
    )

    assert set(settings.origins.values()) == {"default"}


def test_doctor_shows_where_each_value_comes_from(
    run: Run, backfill: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    backfill("BTC/USDT", "--data", "lake")
    Path("lake/lake.toml").write_text("max_workers = 3\n", encoding="utf-8")
    monkeypatch.setenv("LAKE_RATE_SHARE", "0.5")

    shown = run("doctor", "--data", "lake", "--deep")

    assert shown.code == 0
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "rate_share 0.5 LAKE_RATE_SHARE" in lines
    assert f"max_workers 3 {Path('lake/lake.toml').absolute()}" in lines
    assert lines[-1] == "files and catalog agree"


def test_a_misspelt_key_stops_a_backfill_before_it_begins(run: Run, backfill: Run) -> None:
    backfill("BTC/USDT", "--data", "lake")
    Path("lake/lake.toml").write_text("rate_shaer = 1\n", encoding="utf-8")

    finished = backfill("ETH/USDT", "--data", "lake")

    assert finished.code == 2
    assert "rate_shaer" in finished.err
    assert str(Path("lake/lake.toml").absolute()) in finished.err
