"""What other rows show of missing candles: outages, quiet markets, losses."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from archive_kit import REAL_DATA, needs_real_data

from lake.domain.coverage import NOT_IN_FILE, QUIET_LEFT_OUT, Basis, Claim
from lake.domain.gaps import GapReason
from lake.domain.identifiers import Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import Note
from lake.ingestion.imports import import_files
from lake.quality import explain_gaps, explained_gaps, known_checks, reasons, run_checks
from lake.storage.lake import Storage
from lake.warehouse import Warehouse
from tests.quality.kit import (
    answered,
    candle_series,
    candles,
    minute,
    minutes,
    store,
    trade_series,
    trades,
)

HOUR = 60
DAY = 24 * HOUR
BITCOIN, ETHER = candle_series(), candle_series("ETHUSDT.BINANCE")
HOURLY = candle_series(timeframe="1h")
Told = list[tuple[TimeRange, int | None, GapReason]]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with Storage.open(tmp_path / "lake", create=True) as opened:
        yield opened


def hold(
    storage: Storage,
    series: Series,
    absent: set[int],
    *,
    end: int = DAY,
    notes: Sequence[Note] = (),
) -> None:
    """Every minute from 0 to *end* but those *absent*, all of them answered for."""
    rows = candles([minute(each) for each in range(end) if each not in absent])
    store(storage, series, rows, [answered(minutes(0, end))], notes=notes)


def told(storage: Storage, series: Series) -> Told:
    return [(gap.range, gap.missing_count, gap.reason) for gap in explained_gaps(storage, [series])]


def test_what_everybody_lacks_is_an_outage_and_what_one_lacks_is_not(storage: Storage) -> None:
    """Only the part that both lack; where one traded the venue was up."""
    hold(storage, BITCOIN, {*range(100, 120), 300})
    hold(storage, ETHER, set(range(105, 130)))

    assert told(storage, BITCOIN) == [
        (minutes(100, 105), 5, GapReason.VENUE_HAS_NONE),
        (minutes(105, 120), 15, GapReason.VENUE_OUTAGE),
        (minutes(300, 301), 1, GapReason.VENUE_HAS_NONE),
    ]
    assert told(storage, ETHER) == [
        (minutes(105, 120), 15, GapReason.VENUE_OUTAGE),
        (minutes(120, 130), 10, GapReason.VENUE_HAS_NONE),
    ]


def test_two_quiet_markets_that_are_silent_at_once_are_no_outage(storage: Storage) -> None:
    """Each lacks every third minute, so that one minute in nine both lack it by chance."""
    chance = random.Random(7)
    for series in (BITCOIN, ETHER):
        quiet = {each for each in range(1, DAY - 1) if chance.random() < 1 / 3}
        hold(storage, series, quiet - set(range(500, 505)) | {503})

    assert {reason for _, _, reason in told(storage, BITCOIN)} == {GapReason.VENUE_HAS_NONE}


def test_a_venue_that_is_not_asked_is_no_witness(storage: Storage) -> None:
    hold(storage, BITCOIN, set(range(100, 120)))
    rows = candles([minute(each) for each in range(200, 400)])
    store(storage, ETHER, rows, [answered(minutes(200, 400))])

    assert told(storage, BITCOIN) == [(minutes(100, 120), 20, GapReason.VENUE_HAS_NONE)]


def test_after_a_candle_that_closed_early_the_venue_was_down_for_all(storage: Storage) -> None:
    """Also for another instrument and timeframe, of which nothing was noted: what lies inside."""
    early = Note(minute(100), "early_close", "closed at 2024-01-01T01:40:41")
    hold(storage, BITCOIN, set(range(101, 200)), notes=[early])
    hourly = candles([minute(each * HOUR) for each in range(24) if each != 2], 60.0)
    store(storage, candle_series("SOLUSDT.BINANCE", "1h"), hourly, [answered(minutes(0, DAY))])

    assert told(storage, BITCOIN) == [(minutes(101, 200), 99, GapReason.VENUE_OUTAGE)]
    assert told(storage, candle_series("SOLUSDT.BINANCE", "1h")) == [
        (minutes(120, 180), 1, GapReason.VENUE_OUTAGE)
    ]
    [gap] = explained_gaps(storage, [BITCOIN])
    assert "the BTCUSDT 1m candle before it closed at 2024-01-01T01:40:41" in gap.evidence


def test_a_longer_candle_tells_what_was_lost_from_what_never_was(storage: Storage) -> None:
    """Of hour 2 it holds a minute's volume more than the minutes do; of hour 5 the same."""
    hold(storage, BITCOIN, {125, 126, 305})
    volumes = [60.0] * 24
    volumes[5] = 59.0
    hourly = candles([minute(each * HOUR) for each in range(24)], volumes)
    store(storage, HOURLY, hourly, [answered(minutes(0, DAY))])

    assert told(storage, BITCOIN) == [
        (minutes(125, 127), 2, GapReason.LOST_BY_SOURCE),
        (minutes(305, 306), 1, GapReason.NO_TRADES),
    ]
    lost, quiet = explained_gaps(storage, [BITCOIN])
    assert lost.evidence == (
        "the 1h candle of 2024-01-01T02:00 has volume 60.0, its 1m candles 58.0"
    )
    assert quiet.evidence == (
        "the 1h candle of 2024-01-01T05:00 has volume 59.0, its 1m candles 59.0"
    )


def test_of_two_longer_candles_the_shorter_one_says_where(storage: Storage) -> None:
    """The day lost something, the hours say in which of them."""
    hold(storage, BITCOIN, {125, 305})
    hourly = candles([minute(each * HOUR) for each in range(24)], [60.0] * 5 + [59.0] + [60.0] * 18)
    store(storage, HOURLY, hourly, [answered(minutes(0, DAY))])
    daily = candles([minute(0)], 24 * 60.0 - 1)
    store(storage, candle_series(timeframe="1d"), daily, [answered(minutes(0, DAY))])

    assert told(storage, BITCOIN) == [
        (minutes(125, 126), 1, GapReason.LOST_BY_SOURCE),
        (minutes(305, 306), 1, GapReason.NO_TRADES),
    ]


def test_what_was_never_asked_for_was_not_lost(storage: Storage) -> None:
    """The hour candle is there, and nobody asked for these minutes."""
    rows = candles([minute(each) for each in [*range(30), *range(50, 60)]])
    store(storage, BITCOIN, rows, [answered(minutes(0, 30)), answered(minutes(50, 60))])
    store(storage, HOURLY, candles([minute(0)], 60.0), [answered(minutes(0, HOUR))])

    [(window, _, reason)] = told(storage, BITCOIN)

    assert (window, reason) == (minutes(30, 50), GapReason.PROVISIONAL)


def test_trades_prove_that_nothing_was_traded_or_what_was_lost(storage: Storage) -> None:
    """Nobody promises that the trades are whole; their numbers show it around minute 10."""
    hold(storage, BITCOIN, {10, 20, 30}, end=HOUR)
    moments = [minute(9), minute(9), minute(11), minute(20), minute(29), minute(31)]
    rows = trades(moments, [1, 2, 3, 8, 20, 25])
    claim = Claim(minutes(9, 32), Basis.ROWS_ONLY)
    store(storage, trade_series(), rows, [claim], variant="single/venue")

    assert told(storage, BITCOIN) == [
        (minutes(10, 11), 1, GapReason.NO_TRADES),
        (minutes(20, 21), 1, GapReason.LOST_BY_SOURCE),
        (minutes(30, 31), 1, GapReason.VENUE_HAS_NONE),
    ]
    quiet, lost, _ = explained_gaps(storage, [BITCOIN])
    assert quiet.evidence == "trades 2 and 3 follow one another on its two sides"
    assert lost.evidence == "1 trades of it are held"


def test_trades_that_are_held_whole_prove_it_too(storage: Storage) -> None:
    hold(storage, BITCOIN, {10}, end=HOUR)
    rows = trades([minute(1), minute(40)], [1, 90])
    store(storage, trade_series(), rows, [answered(minutes(0, HOUR))], variant="single/venue")

    assert told(storage, BITCOIN) == [(minutes(10, 11), 1, GapReason.NO_TRADES)]


def test_a_days_file_that_ends_early_was_cut_if_chance_does_not_explain_it(
    storage: Storage,
) -> None:
    """Bitcoin lacks one minute in a day, and eight hours at its end; the quiet coin two minutes."""
    end = 16 * HOUR
    for series, until, absent in (
        (BITCOIN, end, {100}),
        (ETHER, DAY - 2, {each for each in range(1, DAY - 3) if each % 3}),
    ):
        rows = candles([minute(each) for each in range(until) if each not in absent])
        claims = [
            Claim(minutes(0, until), Basis.ROWS_ONLY, QUIET_LEFT_OUT),
            Claim(minutes(until, DAY), Basis.ROWS_ONLY, NOT_IN_FILE),
        ]
        store(storage, series, rows, claims, kind="import")

    assert told(storage, BITCOIN) == [
        (minutes(100, 101), 1, GapReason.NO_TRADES),
        (minutes(end, DAY), DAY - end, GapReason.LOST_BY_SOURCE),
    ]
    assert told(storage, ETHER)[-1][0].end == minute(DAY)
    assert {reason for _, _, reason in told(storage, ETHER)} == {GapReason.NO_TRADES}


def test_they_are_looked_for_again_only_when_the_lake_has_changed(storage: Storage) -> None:
    hold(storage, BITCOIN, set(range(100, 120)))
    assert explain_gaps(storage)
    assert not explain_gaps(storage)
    assert told(storage, BITCOIN) == [(minutes(100, 120), 20, GapReason.VENUE_HAS_NONE)]

    hold(storage, ETHER, set(range(100, 120)))

    assert told(storage, BITCOIN) == [(minutes(100, 120), 20, GapReason.VENUE_OUTAGE)]
    assert not explain_gaps(storage)


def test_a_damaged_file_costs_only_its_own_instrument_its_reasons(storage: Storage) -> None:
    """ETH's minutes cannot be read; what BTC's hours show of its minutes is found all the same."""
    for series, code in ((BITCOIN, "BTCUSDT"), (ETHER, "ETHUSDT")):
        hold(storage, series, {*range(65, 70)})
        hourly = candles([minute(each * HOUR) for each in range(24)], 60.0)
        store(storage, candle_series(f"{code}.BINANCE", "1h"), hourly, [answered(minutes(0, DAY))])
    [info] = storage.catalog.partitions(ETHER)
    path = storage.parquet / info.partition.path
    content = path.read_bytes()
    path.write_bytes(content[:-200])

    whole, broken = told(storage, BITCOIN), told(storage, ETHER)
    path.write_bytes(content)
    mended = told(storage, ETHER)

    assert [reason for _, _, reason in whole] == [GapReason.LOST_BY_SOURCE]
    # Both lack the same minutes: so much the catalog alone says.
    assert [reason for _, _, reason in broken] == [GapReason.VENUE_OUTAGE]
    # Nothing was committed, and yet it is looked at again.
    assert [reason for _, _, reason in mended] == [GapReason.LOST_BY_SOURCE]


def test_many_threads_look_once(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(storage, BITCOIN, set(range(100, 120)))
    hold(storage, ETHER, set(range(100, 120)))
    looked: list[int] = []
    facts = reasons._facts
    monkeypatch.setattr(reasons, "_facts", lambda *given: looked.append(1) or facts(*given))

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: explained_gaps(storage, [BITCOIN]), range(6)))

    assert len(looked) == 1
    assert {gap.reason for [gap] in answers} == {GapReason.VENUE_OUTAGE}


def test_a_read_does_not_look_again_after_every_commit(storage: Storage) -> None:
    """Reasons found before do for a while; who asks for gaps is told what is true now."""
    hold(storage, BITCOIN, set(range(100, 120)))
    [first] = explained_gaps(storage, [BITCOIN], newest=False)
    hold(storage, ETHER, set(range(100, 120)))
    [soon] = explained_gaps(storage, [BITCOIN], newest=False)
    [asked] = explained_gaps(storage, [BITCOIN])
    [then] = explained_gaps(storage, [BITCOIN], newest=False)

    assert first.reason is soon.reason is GapReason.VENUE_HAS_NONE
    assert asked.reason is then.reason is GapReason.VENUE_OUTAGE


def test_checks_see_what_was_found_a_moment_before_they_ran(storage: Storage) -> None:
    """DuckDB's copy of the catalog may be a second old, and must not be here."""
    storage.snapshot()
    hold(storage, BITCOIN, set(range(100, 120)))
    hold(storage, ETHER, set(range(100, 120)))
    checks = [each for each in known_checks(storage.root) if each.name == "candle_gaps"]

    [run] = run_checks(storage, checks, now=minute(2 * DAY))

    assert [each.detail.partition(":")[0] for each in run.found] == ["venue_outage"] * 2


def test_a_lake_that_cannot_be_written_says_what_it_knows(storage: Storage) -> None:
    hold(storage, BITCOIN, set(range(100, 120)))
    hold(storage, ETHER, set(range(100, 120)))

    with Storage.open(storage.root, read_only=True) as frozen:
        assert told(frozen, BITCOIN) == [(minutes(100, 120), 20, GapReason.VENUE_HAS_NONE)]


@needs_real_data
def test_the_oddities_of_the_recorded_files_have_their_reasons(storage: Storage) -> None:
    """Binance's stop, the quiet minutes of XRP/ETH, and Coinbase's file that was cut short."""
    binance = REAL_DATA / "binance_vision_spot_daily_klines"
    import_files(storage, [binance])
    names = ("XRP_ETH-1m.feather", "XRP_ETH-5m.feather", "XRP_ETH-trades.json.gz")
    files = [REAL_DATA / "freqtrade" / name for name in names]
    import_files(storage, files, venue=Venue("BINANCE"))
    lean = REAL_DATA / "lean_coinbase"
    folders = [lean / "minute_btcusd", lean / "daily"]
    import_files(storage, folders, venue=Venue("COINBASE"))

    gaps = [each for each in explained_gaps(storage) if each.evidence != "never asked for"]

    outage = [
        (str(gap.series.timeframe), gap.missing_count)
        for gap in gaps
        if gap.reason is GapReason.VENUE_OUTAGE
    ]
    assert sorted(outage) == [("15m", 5), ("1h", 1), ("1m", 80)]
    quiet = [gap for gap in gaps if "XRPETH" in str(gap.series) and gap.series.timeframe]
    assert sum(gap.missing_count or 0 for gap in quiet) == 3_560 - 2_469 + 712 - 706
    assert {gap.reason for gap in quiet} == {GapReason.NO_TRADES}
    [lost] = [gap for gap in gaps if gap.reason is GapReason.LOST_BY_SOURCE]
    assert (str(lost.series), lost.missing_count) == ("BTCUSD.COINBASE ohlcv 1m", 432)
    root = storage.root
    storage.close()
    with Warehouse(root) as warehouse:
        rows = warehouse.query("select * from outages").rows(named=True)
    assert [(row["venue"], row["timeframes"], row["instruments"]) for row in rows] == [
        ("BINANCE", ["15m", "1h", "1m"], ["BTCUSDT"])
    ]
    assert (rows[0]["start_time"].minute, rows[0]["end_time"].hour) == (40, 14)
