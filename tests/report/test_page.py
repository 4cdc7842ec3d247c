"""What the page says is what the lake holds; it carries all it needs and nothing it must not."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lake.domain.gaps import GapReason
from lake.domain.identifiers import DataType
from lake.domain.ranges import TimeRange
from lake.domain.times import to_us
from lake.report import gather, make_page
from lake.report.payload import BAND_STEPS, payload
from lake.report.reasons import MEANING
from lake.simulator.market import generate
from lake.storage.lake import Storage
from tests.report.report_kit import (
    HOUR,
    NOW,
    YEAR,
    add_runs,
    data_of,
    hours,
    many,
    page_of,
    series,
    write,
)

HOSTILE = "</script><img src=x onerror=alert(1)>&\"'`${1}"


def seconds(moment: datetime) -> int:
    return to_us(moment) // 1_000_000


def words(page: str) -> str:
    """The page's text, as far as it needs no script."""
    shown = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", shown).split())


def cells(page: str, name: str) -> dict[str, list[int]]:
    """The five numbers of each month of one series."""
    data = data_of(page)
    place = next(
        number for number, row in enumerate(data["series"]) if f"{row[0]}.{row[1]} {row[2]}" == name
    )
    first, numbers = data["cells"]["of"][place]
    found = {}
    for number in range(len(numbers) // 5):
        year, month = divmod(data["cells"]["first"] + first + number, 12)
        found[f"{year}-{month + 1:02}"] = numbers[5 * number : 5 * number + 5]
    return found


def test_every_reason_has_a_meaning() -> None:
    """A reason that is added must not fail the page."""
    assert set(MEANING) == set(GapReason)


def test_the_head_sums_the_lake_up(small_page: str) -> None:
    """8,784 hours twice and 366 days, less 13 and 8 candles."""
    text = words(small_page)

    assert "Completeness 99.88 % 21 candles missing" in text
    assert "Series 3 ohlcv" in text
    assert "Rows 17,913 2024-01 to 2024-12" in text
    assert "Gaps to act on 1 of 4 gaps" in text
    assert "Checks 2 failed of 3" in text
    assert "as of 2025-03-01 12:00 UTC" in text


def test_a_cell_counts_what_is_expected_and_what_is_missing(small_page: str) -> None:
    """Expected, to act on, explained, not expected, gaps; a gap over a month's end is cut there."""
    found = cells(small_page, "BTCUSDT.BINANCE 1h")

    assert found["2024-01"] == [744, 0, 0, 0, 0]
    assert found["2024-03"] == [744, 0, 5, 0, 1]
    assert found["2024-05"] == [744, 4, 0, 0, 1]
    assert found["2024-06"] == [720, 4, 0, 0, 1]
    assert len(found) == 12
    assert set(map(tuple, cells(small_page, "BTCUSDT.BINANCE 1d").values())) == {
        (31, 0, 0, 0, 0),
        (30, 0, 0, 0, 0),
        (29, 0, 0, 0, 0),
    }


def test_gaps_come_with_their_reasons_and_how_they_are_known(small_page: str) -> None:
    data = data_of(small_page)

    gaps = data["gaps"]
    found = [
        (
            data["series"][gaps["series"][place]][0],
            gaps["start"][place],
            gaps["missing"][place],
            data["reasons"][gaps["reason"][place]][0],
        )
        for place in range(len(gaps["start"]))
    ]
    assert found == [
        ("BTCUSDT", seconds(datetime(2024, 3, 24, 11)), 5, "venue_outage"),
        ("BTCUSDT", seconds(datetime(2024, 5, 31, 20)), 8, "not_fetched"),
        ("ETHUSDT", seconds(datetime(2024, 3, 24, 11)), 5, "venue_outage"),
        ("ETHUSDT", seconds(datetime(2024, 7, 2)), 3, "venue_has_none"),
    ]
    assert "never asked for" in data["evidence"]
    assert any("instrument" in each for each in data["evidence"])


def test_the_candles_around_a_gap_are_there_and_the_missing_ones_are_marked(
    small_page: str,
) -> None:
    """What asks to be acted on comes first, whatever its size."""
    first = data_of(small_page)["charts"][0]

    opens = [row[0] for row in first["candles"]]
    gap = datetime(2024, 5, 31, 20)
    assert opens[0] == seconds(gap - 60 * HOUR)
    assert opens[59:61] == [seconds(gap - HOUR), seconds(gap + 8 * HOUR)]
    assert opens[-1] == seconds(gap + 67 * HOUR)
    assert first["band"] == [seconds(gap + number * HOUR) for number in range(8)]
    assert all(low <= min(o, c) <= max(o, c) <= high for _, o, high, low, c, _ in first["candles"])


def test_a_check_shows_its_last_run_and_those_before(small_page: str) -> None:
    text = words(small_page)

    assert "violated spikes 2 warnings violations run by run, oldest first: 0, 4, 1, 2" in text
    assert "passed price_bounds 0 violations" in text
    assert "could not run broken" in text
    assert "the check itself is wrong" in text
    assert [row[-1] for row in data_of(small_page)["violations"]["spikes-3"]] == [
        "close 99 where 42 was to be expected",
        "no range",
    ]


def test_jobs_that_run_or_failed_come_first(small_page: str) -> None:
    text = words(small_page)

    assert "1 running, 1 failed, 3 completed." in text
    assert text.index("running 0%") < text.index("BINANCE answered 503 for a minute")


def test_a_lake_that_was_never_checked_is_told_how(tmp_path: Path) -> None:
    with Storage.open(tmp_path / "lake", create=True) as storage:
        write(storage, series("BTCUSDT.BINANCE"), YEAR)

    text = words(page_of(tmp_path / "lake"))

    assert "Checks never run run: lake check" in text
    assert (
        "No check was ever run on this lake. Run lake check , then make this report again" in text
    )
    assert "No gaps: every row of the ranges asked for is held." in text


def test_an_empty_lake_has_a_page(tmp_path: Path) -> None:
    with Storage.open(tmp_path / "lake", create=True):
        pass

    page = page_of(tmp_path / "lake")

    assert "Nothing is held yet" in words(page)
    assert data_of(page)["series"] == []


def test_trades_and_funding_are_told_in_time(tmp_path: Path) -> None:
    """Nobody knows how many trades a stretch has, so its minutes are counted."""
    root = tmp_path / "lake"
    start, listed = datetime(2024, 1, 30), datetime(2024, 2, 1, 12)
    with Storage.open(root, create=True, origin="synthetic") as storage:
        generate(
            storage,
            seed=5,
            start=start,
            end=datetime(2024, 2, 3),
            instruments=["BTC/USDT", "ETH/USDT"],
            listings={"ETH/USDT": listed},
            outages=[TimeRange(datetime(2024, 1, 30, 4), datetime(2024, 1, 30, 6))],
            rate=0.01,
            store_trades=True,
        )

        page = page_of(root)

    trades = cells(page, "BTCUSDT.BINANCE ")
    assert trades["2024-01"][:2] == [2 * 1440, 0]
    assert trades["2024-02"][:2] == [2 * 1440, 0]
    assert cells(page, "BTCUSDT.BINANCE 1h")["2024-01"] == [48, 0, 2, 0, 1]
    assert cells(page, "ETHUSDT.BINANCE 1h")["2024-02"][1] == 0
    assert "of synthetic data" in words(page)


def test_only_the_longest_gaps_of_a_month_are_carried_and_the_page_says_so(tmp_path: Path) -> None:
    """30 gaps in one month, of 1 hour and one of 2; the cell still counts all of them."""
    root = tmp_path / "lake"
    holes = [hours(datetime(2024, 1, 1) + number * 24 * HOUR, 1) for number in range(1, 30)]
    holes.append(hours(datetime(2024, 1, 31), 2))
    with Storage.open(root, create=True) as storage:
        write(storage, series("BTCUSDT.BINANCE"), YEAR, holes=holes)

    page = page_of(root)

    listed = data_of(page)["gaps"]
    assert len(listed["start"]) == 25
    assert seconds(datetime(2024, 1, 31)) in listed["start"]
    assert cells(page, "BTCUSDT.BINANCE 1h")["2024-01"] == [744, 0, 31, 0, 30]
    assert "Of 30 gaps 25 are listed here" in words(page)


def test_a_long_gap_is_marked_in_few_steps(tmp_path: Path) -> None:
    """A year without candles must not be 8,784 empty candles of a chart."""
    root = tmp_path / "lake"
    with Storage.open(root, create=True) as storage:
        lost = TimeRange(datetime(2024, 2, 1), datetime(2024, 12, 1))
        write(storage, series("BTCUSDT.BINANCE"), YEAR, unasked=[lost])

    [chart] = data_of(page_of(root))["charts"]

    assert len(chart["band"]) == BAND_STEPS
    assert chart["band"][0] == seconds(datetime(2024, 2, 1))
    assert chart["band"][-1] < seconds(datetime(2024, 12, 1))


def test_text_of_the_lake_never_becomes_html(tmp_path: Path) -> None:
    """Errors come from venues, and a folder may have any name."""
    root = tmp_path / "<b>lake & co"
    page = page_of(make_hostile(root))

    static = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "<img" not in static
    assert "<b>lake" not in static
    assert page.count("<script") == page.count("</script>") == 3
    assert data_of(page)["violations"]["bad<i>-0"][0][-1] == HOSTILE


def make_hostile(root: Path) -> Path:
    """A lake whose folder, checks and errors hold HTML."""
    one = series("BTCUSDT.BINANCE")
    with Storage.open(root, create=True) as storage:
        write(storage, one, YEAR, error=HOSTILE, unasked=[hours(datetime(2024, 2, 2), 4)])
        storage.catalog.add_failed(one, hours(datetime(2024, 2, 2), 4), "job", HOSTILE)
        row = ("error", "ohlcv", HOSTILE, HOSTILE, "1h", None, None, 1, HOSTILE)
        add_runs(storage, "bad<i>", [1], found=[row])
    return root


def test_the_policy_allows_the_pages_own_scripts_and_no_network(small_page: str) -> None:
    [policy] = re.findall(r'Content-Security-Policy" content="(.*?)"', small_page)
    scripts = re.findall(r"<script>(.*?)</script>", small_page, re.DOTALL)

    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_the_page_loads_nothing(small_page: str) -> None:
    """Only the link that the licence of the charts asks for leads anywhere."""
    outside = re.sub(r"<script.*?</script>", "", small_page, flags=re.DOTALL)

    assert re.findall(r"https?://[^\"'\s<]*", outside) == ["https://www.tradingview.com/"]
    assert re.findall(r"\s(?:src|srcset|style|on\w+)=", outside) == []
    assert re.findall(r"<(?:link|iframe|img|object|embed|form)\b|@import|url\(", outside) == []


def test_the_licence_of_the_charts_is_told(small_page: str) -> None:
    assert "TradingView Lightweight Charts™" in words(small_page)
    assert "Apache-2.0" in words(small_page)


def test_the_folders_path_is_not_told(small: Path, small_page: str) -> None:
    """A page is mailed and published; where the lake lies is nobody's business."""
    assert str(small.parent) not in small_page
    assert str(small.parent) not in str(data_of(small_page))


def test_the_same_lake_gives_the_same_page(small: Path, small_page: str) -> None:
    assert page_of(small) == small_page


def test_some_series_only(small: Path) -> None:
    """The page says that it is about a part of the lake."""
    with Storage.open(small) as storage:
        chosen = [series("ETHUSDT.BINANCE")]
        page = make_page(gather(storage, chosen, now=NOW, narrowed=True))

    assert [row[0] for row in data_of(page)["series"]] == ["ETHUSDT"]
    assert "(some of its series)" in words(page)
    assert "Gaps to act on 0 of 2 gaps" in words(page)


@pytest.mark.parametrize(("count", "most_mb"), [(1, 0.5), (50, 0.7), (1_000, 2.5)])
def test_a_page_stays_small_enough_to_mail(small: Path, count: int, most_mb: float) -> None:
    page = make_page(many(small, count))

    assert len(page.encode()) < most_mb * 1e6


def test_more_months_than_a_map_holds_are_left_out(tmp_path: Path) -> None:
    """Twenty-two years of days: the newest twenty are shown, and the page says so."""
    root = tmp_path / "lake"
    span = TimeRange(datetime(2003, 1, 1), datetime(2025, 1, 1))
    with Storage.open(root, create=True) as storage:
        write(storage, series("BTCUSDT.BINANCE", "1d"), span)

    page = page_of(root)

    assert data_of(page)["cells"]["months"] == 240
    assert "Shown are the newest 240 months" in words(page)


def test_the_numbers_agree_with_the_gaps_command(small: Path) -> None:
    """One truth: the cells of a series add up to what `lake gaps` counts."""
    from lake.storage.gaps import find_gaps

    with Storage.open(small) as storage:
        held = sorted((each.series for each in storage.catalog.series()), key=str)
        found = payload(gather(storage, held, now=NOW))["cells"]["of"]
        counted = dict.fromkeys(held, 0)
        for gap in find_gaps(storage):
            counted[gap.series] += gap.missing_count or 0

    for one, (_, numbers) in zip(held, found, strict=True):
        assert one.data_type is DataType.OHLCV
        missing = sum(sum(numbers[place : place + 3]) for place in range(1, len(numbers), 5))
        assert missing == counted[one]


def test_trends_do_not_mix_parts_of_the_lake(small: Path) -> None:
    """Runs over another scope than the last one are no trend."""
    with Storage.open(small) as storage:
        facts = gather(storage, [], now=NOW)

    other = [replace_scope(row) for row in facts.runs]
    page = make_page(replace(facts, runs=other))

    assert words(page).count("over {&quot;venue&quot;: &quot;OKX&quot;}") == 3


def replace_scope(row: dict[str, object]) -> dict[str, object]:
    return {**row, "scope": '{"venue": "OKX"}', "started_at": NOW - timedelta(days=1)}
