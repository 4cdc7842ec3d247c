"""What the commands are called with and say: one word for one thing, no answer without words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lake.cli import app
from tests.cli.conftest import Run

GENERATE = (
    "generate --seed 3 --start 2024-01-01 --end 2024-01-02 --instruments BTC/USDT --trades"
    " --books 1h --rate 0.02 --timeframe 1h --data"
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of one pair: candles, trades and books. None may change it."""
    from lake.cli import main

    root = tmp_path_factory.mktemp("words") / "lake"
    with pytest.raises(SystemExit) as ended:
        main([*GENERATE.split(), str(root)])
    assert ended.value.code == 0
    return root


def commands() -> list[tuple[str, ...]]:
    """Every command that can be called: ``("status",)``, ``("jobs", "show")``."""
    found: list[tuple[str, ...]] = []
    for name in app:
        if not name.startswith("-"):
            below = [each for each in app[name] if not each.startswith("-")]
            found += [(name,), *((name, each) for each in below)]
    return found


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text.partition("─ ")[2]))


@pytest.mark.parametrize("same", [("--venue", "--exchange"), ("--timeframe", "--timeframes")])
def test_a_flag_has_the_same_names_in_every_command(run: Run, same: tuple[str, str]) -> None:
    """Who learnt --exchange from one command writes it to the next."""
    one, other = same
    shown = {words: flags(run(*words, "--help").out) for words in commands()}

    having = [words for words, names in shown.items() if one in names]

    assert len(having) > 3
    # An archive has one timeframe.
    lacking = [words for words in having if other not in shown[words] and words != ("import",)]
    assert lacking == []


def test_help_fills_its_paragraphs_and_leaves_examples_alone(run: Run) -> None:
    """Lines broken as in the source, and once more at the terminal's edge, read like a poem."""
    shown = run("backfill", "--help").out

    prose, _, examples = shown.partition("╭")[0].partition("For example:")
    *full, last = prose.split("\n\n")[2].rstrip("\n").splitlines()
    assert full
    assert last
    assert all(len(line) > 60 for line in full)
    assert (
        "\n  lake backfill binance BTC/USDT --type trades --start 2024-01-01 --days 2\n" in examples
    )
    assert "Args:" not in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("jobs", "foo"), "'foo' is not understood. It has list, show, cancel, retry, clean"),
        (("snapshot", "foo"), "'foo' is not understood. It has create, list"),
        (("status", "foo", "bar"), "'foo bar' is not understood. It takes no such word"),
    ],
)
def test_a_word_too_many_is_named(run: Run, words: tuple[str, ...], told: str) -> None:
    refused = run(*words)

    assert refused.code == 2
    assert told in refused.err


def test_an_update_of_books_is_refused(run: Run, lake: Path) -> None:
    """Nothing can be fetched; to end with 0 and no word would say that they are up to date."""
    refused = run("update", "--type", "orderbook", "--data", lake)

    assert refused.code == 2
    assert "venues keep no history of their books" in refused.err


def test_candles_of_a_time_without_trades_are_not_a_row_of_zeros_alone(
    run: Run, lake: Path
) -> None:
    done = run("trades-to-ohlcv", "BTCUSDT", "-t", "5m", "--start", "2025-01-01", "--data", lake)

    assert done.code == 1
    assert "No trades of BTCUSDT.BINANCE lie from 2025-01-01 to their end" in done.err


def test_an_export_names_the_types_that_it_leaves_out(run: Run, lake: Path) -> None:
    done = run("export", "*", "--format", "freqtrade", "--output", "ft", "--data", lake)

    assert done.code == 0, done.err
    assert "left out: 1 series of orderbook, for which freqtrade has no place" in done.err
    assert sorted(path.name for path in Path("ft").iterdir()) == [
        "BTC_USDT-1h.feather",
        "BTC_USDT-trades.feather",
    ]


def test_jobs_are_listed_by_several_states_at_once(run: Run, lake: Path) -> None:
    listed = run("jobs", "--state", "failed,cancelled", "--data", lake)

    assert (listed.code, listed.out) == (0, "no jobs\n")


@pytest.mark.parametrize("command", ["status", "gaps"])
def test_one_wrong_name_among_right_ones_is_named(run: Run, lake: Path, command: str) -> None:
    """What is shown of the others would pass for all that was asked."""
    refused = run(command, "--instrument", "BTCUSDT,NOPE", "--data", lake)
    filtered = run(command, "--venue", "kraken", "--timeframe", "1h", "--data", lake)

    assert (refused.code, refused.out, filtered.code) == (2, "", 2)
    assert "nothing that fits 'NOPE'. It holds 3 series" in refused.err
    assert "nothing that fits --venue kraken, --timeframe 1h. It holds" in filtered.err
