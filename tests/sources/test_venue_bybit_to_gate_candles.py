"""Candles and books of Bybit, OKX, Bitget and Gate, from servers that behave as they do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from lake.domain.coverage import Basis
from lake.domain.identifiers import DataType, Series, Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import Page
from lake.domain.timeframe import Grid, TimeFrame, grid_of
from lake.domain.times import from_us
from lake.errors import InvalidRequest, SourceError
from tests.sources.stand_ins import truth
from tests.sources.stand_ins.asking import all_candles, opened, rows_of
from tests.sources.stand_ins.bitget import Bitget
from tests.sources.stand_ins.bybit import Bybit
from tests.sources.stand_ins.gate import Gate
from tests.sources.stand_ins.market import INVERSE, Market, market
from tests.sources.stand_ins.okx import Okx
from tests.sources.stand_ins.server import ANYWHERE, IN_ROWS, StandIn
from tests.sources.stand_ins.truth import Candle

# Half a minute into a candle, which therefore is running.
NOW = datetime(2024, 6, 3, 12, 0, 30)
MINUTE, QUARTER, DAY, WEEK, MONTH = (
    TimeFrame.MINUTE_1,
    TimeFrame.MINUTE_15,
    TimeFrame.DAY_1,
    TimeFrame.WEEK_1,
    TimeFrame.MONTH_1,
)
# A hole inside a page, one across the border of pages of 199 and 300, one longer than a narrow
# request, counted from the oldest minute.
HOLES = ((700, 701), (3_990, 4_012), (5_100, 5_170))
MINUTES = truth.candles(
    Grid(MINUTE), NOW - timedelta(days=5), NOW + timedelta(minutes=5), holes=HOLES
)
DAYS = truth.candles(Grid(DAY), datetime(2021, 1, 1), NOW + timedelta(days=2))
MONTHS = truth.candles(Grid(MONTH), datetime(2020, 1, 1), NOW)
QUARTERS = truth.candles(
    Grid(QUARTER), NOW - timedelta(days=60), NOW + timedelta(hours=1), holes=((5_000, 5_003),)
)
CANDLES = {MINUTE: MINUTES, QUARTER: QUARTERS, DAY: DAYS, MONTH: MONTHS}
BOOK = truth.book(NOW - timedelta(seconds=2), levels=450)


@dataclass(frozen=True)
class Case:
    """One market of a venue, and how its stand-in is made."""

    made: Callable[..., StandIn]
    market: Market
    deepest: int
    has_sequence: bool = True

    @property
    def name(self) -> str:
        return f"{self.market.instrument.venue} {self.market.instrument.kind.value}"


def case(
    made: Callable[..., StandIn],
    symbol: str,
    native_id: str,
    size: str | None = None,
    *,
    deepest: int,
    has_sequence: bool = True,
) -> Case:
    venue = made.venue  # type: ignore[attr-defined]
    own = market(venue, symbol, native_id, size=size, candles=CANDLES, book=BOOK)
    return Case(made, own, deepest, has_sequence)


CASES = [
    case(Bybit, "BTC/USDT", "BTCUSDT", deepest=200),
    case(Bybit, "BTC/USDT:USDT", "BTCUSDT", "1", deepest=200),
    case(Bybit, "BTC/USD:BTC", "BTCUSD", "1", deepest=200),
    case(Okx, "BTC/USDT", "BTC-USDT", deepest=5_000),
    case(Okx, "BTC/USDT:USDT", "BTC-USDT-SWAP", "0.01", deepest=5_000),
    case(Okx, "BTC/USD:BTC", "BTC-USD-SWAP", "100", deepest=5_000),
    case(Bitget, "BTC/USDT", "BTCUSDT", deepest=100, has_sequence=False),
    case(Bitget, "BTC/USDT:USDT", "BTCUSDT", "1", deepest=100, has_sequence=False),
    case(Bitget, "BTC/USD:BTC", "BTCUSD", "1", deepest=100, has_sequence=False),
    case(Gate, "BTC/USDT", "BTC_USDT", deepest=300),
    case(Gate, "BTC/USDT:USDT", "BTC_USDT", "0.0001", deepest=300),
    case(Gate, "BTC/USD:BTC", "BTC_USD", "1", deepest=300),
]
# Gate's inverse candles are refused.
WITH_CANDLES = [each for each in CASES if each.name != "GATE inverse"]
of_case = pytest.mark.parametrize("of", WITH_CANDLES, ids=lambda of: of.name)
LINEAR_CASES = [each for each in CASES if each.name.endswith("linear")]
of_one_kind = pytest.mark.parametrize("of", LINEAR_CASES, ids=lambda of: of.name)


def fetched(
    stand_in: StandIn,
    own: Market,
    timeframe: TimeFrame,
    window: TimeRange,
    *,
    rate: float = 0.0,
    seed: int = 0,
    kinds: tuple[str, ...] = (),
) -> list[Page]:
    """All pages of *window* through the real client; faults begin when the clock is read."""
    series = Series(DataType.OHLCV, own.instrument.id, timeframe)

    async def main() -> list[Page]:
        async with opened(stand_in) as source:
            stand_in.trouble.rate, stand_in.trouble.seed = rate, seed
            stand_in.trouble.kinds = kinds
            return await all_candles(source, own.instrument, series, window)

    return asyncio.run(main())


def expected(own: Market, candles: Sequence[Candle], window: TimeRange) -> pa.Table:
    """The truth in our columns."""
    inside = [each for each in candles if from_us(each.ts_us) in window]
    return pa.table(
        {
            "ts": pa.array([each.ts_us for each in inside], pa.int64()).cast(pa.timestamp("us")),
            **{
                name: pa.array([float(getattr(each, name)) for each in inside])
                for name in ("open", "high", "low", "close")
            },
            "volume": pa.array([float(own.base(each.open, each.units)) for each in inside]),
            "quote_volume": pa.array([float(own.quote(each.open, each.units)) for each in inside]),
        }
    )


def assert_true(
    own: Market, pages: list[Page], truth_of: Sequence[Candle], window: TimeRange
) -> None:
    rows, theirs = rows_of(pages), expected(own, truth_of, window)
    for name in ("ts", "open", "high", "low", "close", "quote_volume"):
        assert rows[name].to_pylist() == theirs[name].to_pylist(), name
    # Gate counts contracts: their product with 0.0001 may differ in the last bit.
    assert rows["volume"].to_pylist() == pytest.approx(theirs["volume"].to_pylist(), rel=1e-15)
    assert rows["trade_count"].null_count == rows.num_rows


def claimed(pages: list[Page]) -> list[TimeRange]:
    """What is claimed, touching ranges joined."""
    found: list[TimeRange] = []
    for each in (claim for page in pages for claim in page.claims):
        assert each.basis is Basis.ANSWER
        if found and found[-1].end == each.range.start:
            found[-1] = TimeRange(found[-1].start, each.range.end)
        else:
            found.append(each.range)
    return found


def back(minutes: int) -> datetime:
    return Grid(MINUTE).floor(NOW) - timedelta(minutes=minutes)


@of_case
def test_three_days_of_minutes_come_back_exact_with_their_holes(of: Case) -> None:
    """Over OKX's border between new and old candles, and over a hole at a page's border."""
    window = TimeRange(back(3_300), back(10))
    stand_in = of.made(NOW, of.market)

    pages = fetched(stand_in, of.market, MINUTE, window)

    assert_true(of.market, pages, MINUTES, window)
    assert claimed(pages) == [window]
    assert all(page.rejected == () for page in pages)


@of_case
def test_minutes_come_back_exact_under_faults(of: Case) -> None:
    """Two in five answers are faulty: short, doubled, cut off, HTML, another unit of time."""
    window = TimeRange(back(3_300), back(10))
    stand_in = of.made(NOW, of.market)

    pages = fetched(stand_in, of.market, MINUTE, window, rate=0.4, seed=3)

    assert_true(of.market, pages, MINUTES, window)
    assert claimed(pages) == [window]
    assert stand_in.trouble.given


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(20))
@of_case
def test_all_minutes_come_back_exact_under_every_seed(of: Case, seed: int) -> None:
    window = TimeRange(back(3_300), back(10))
    stand_in = of.made(NOW, of.market)

    pages = fetched(stand_in, of.market, MINUTE, window, rate=0.4, seed=seed)

    assert_true(of.market, pages, MINUTES, window)
    assert claimed(pages) == [window]


@of_one_kind
def test_the_running_candle_is_never_stored(of: Case) -> None:
    """It is shown half-formed by all four; claims end where candles are final."""
    window = TimeRange(back(30), back(-1))
    stand_in = of.made(NOW, of.market)

    pages = fetched(stand_in, of.market, MINUTE, window)

    assert rows_of(pages)["ts"].to_pylist()[-1] == back(1)
    assert claimed(pages) == [TimeRange(back(30), back(2))]


@of_one_kind
@pytest.mark.parametrize(("timeframe", "days"), [(DAY, 1_000), (MONTH, 1_100), (QUARTER, 22)])
def test_longer_candles_come_back_exact(of: Case, timeframe: TimeFrame, days: int) -> None:
    """Days begin at midnight UTC, months on their first; no request is longer than allowed."""
    grid = Grid(timeframe)
    end = grid.floor(NOW - timedelta(minutes=5))
    window = TimeRange(grid.ceil(end - timedelta(days=days)), end)
    stand_in = of.made(NOW, of.market)

    pages = fetched(stand_in, of.market, timeframe, window)

    assert_true(of.market, pages, CANDLES[timeframe], window)
    assert claimed(pages) == [window]


@pytest.mark.parametrize("kind", ["spot", "linear", "inverse"])
def test_bitgets_end_may_belong_to_the_answer_or_not(kind: str) -> None:
    """Its docs do not say: both bring every candle, and none twice."""
    [of] = [each for each in CASES if each.name == f"BITGET {kind}"]
    window = TimeRange(back(1_000), back(400))
    stand_in = Bitget(NOW, of.market, end_included=True)

    pages = fetched(stand_in, of.market, MINUTE, window)

    assert_true(of.market, pages, MINUTES, window)
    assert claimed(pages) == [window]


def test_old_candles_are_asked_for_where_the_venue_keeps_them() -> None:
    okx = next(each for each in CASES if each.name == "OKX spot")
    bitget = next(each for each in CASES if each.name == "BITGET linear")
    for of, recent, old, border in (
        (okx, "market/candles", "history-candles", timedelta(minutes=1_439 * 15)),
        (bitget, "market/candles", "history-candles", timedelta(days=29)),
    ):
        stand_in = of.made(NOW, of.market)
        window = TimeRange(NOW - border - timedelta(days=5), NOW - border + timedelta(days=5))
        grid = Grid(QUARTER)
        window = TimeRange(grid.floor(window.start), grid.floor(window.end))

        pages = fetched(stand_in, of.market, QUARTER, window)

        assert_true(of.market, pages, QUARTERS, window)
        assert stand_in.asked(recent)
        assert stand_in.asked(old)


def test_a_candle_that_okx_calls_open_for_too_long_is_asked_for_again_and_is_no_hole() -> None:
    """A copy that lags by ten candles: what it calls open is neither stored nor claimed.

    Nor is the last one before these claimed, which to a copy that lags may be running.
    """
    of = next(each for each in CASES if each.name == "OKX linear")
    window = TimeRange(back(60), back(3))
    stand_in = Okx(NOW, of.market, lags=10)

    pages = fetched(stand_in, of.market, MINUTE, window)

    assert rows_of(pages)["ts"].to_pylist()[-1] == back(11)
    assert claimed(pages) == [TimeRange(back(60), back(11))]
    assert 1 < len(stand_in.asked("candles")) < 8


def test_gate_is_not_asked_for_more_than_it_gives() -> None:
    """Beyond 10,000 candles it refuses the whole request, also where a hole is doubted."""
    of = next(each for each in CASES if each.name == "GATE spot")
    old = truth.candles(Grid(MINUTE), back(10_200), back(9_000), holes=((230, 260),))
    own = market("GATE", "BTC/USDT", "BTC_USDT", candles={MINUTE: old})
    window = TimeRange(back(9_985), back(9_500))
    stand_in = Gate(NOW, own)

    pages = fetched(stand_in, own, MINUTE, window)

    assert_true(of.market, pages, old, window)
    assert claimed(pages) == [window]


def test_gates_inverse_candles_are_refused_before_any_request() -> None:
    [of] = [each for each in CASES if each.name == "GATE inverse"]
    stand_in = Gate(NOW, of.market)

    with pytest.raises(InvalidRequest, match="unit"):
        fetched(stand_in, of.market, MINUTE, TimeRange(back(100), back(50)))

    assert stand_in.asked("candlesticks") == []


def listed(venue: str, when: datetime, minutes: int = 600) -> Market:
    """A market whose first trade was at *when*: candles of every length from the one around it."""
    grids = [grid_of(Venue(venue), each) for each in (TimeFrame.HOUR_1, DAY, WEEK, MONTH)]
    frames = {
        grid.timeframe: truth.candles(grid, grid.floor(when), NOW + timedelta(minutes=5))
        for grid in grids
    }
    first = Grid(MINUTE).floor(when)
    frames[MINUTE] = truth.candles(Grid(MINUTE), first, first + timedelta(minutes=minutes))
    native = "BTCUSDT" if venue == "BYBIT" else "BTC-USDT"
    return market(venue, "BTC/USDT", native, candles=frames)


def first_available(stand_in: StandIn, own: Market, timeframe: TimeFrame) -> datetime | None:
    series = Series(DataType.OHLCV, own.instrument.id, timeframe)

    async def main() -> datetime | None:
        async with opened(stand_in) as source:
            stand_in.trouble.rate = 0.4
            return await source.first_available(own.instrument, series)

    return asyncio.run(main())


@pytest.mark.parametrize("made", [Bybit, Okx])
@pytest.mark.parametrize("when", [datetime(2023, 5, 17, 3, 41, 7), datetime(2024, 6, 3, 9, 2, 1)])
def test_the_first_candle_is_found_through_longer_ones(
    made: Callable[..., StandIn], when: datetime
) -> None:
    """Also where the first month has not closed yet; years of windows are not asked for."""
    own = listed(made.venue, when)  # type: ignore[attr-defined]
    stand_in = made(NOW, own)

    assert first_available(stand_in, own, MINUTE) == Grid(MINUTE).floor(when)
    assert first_available(stand_in, own, DAY) in (None, Grid(DAY).floor(when))
    assert len(stand_in.asked("line")) + len(stand_in.asked("candles")) < 80


def test_a_first_week_that_began_before_its_month_is_not_left_out() -> None:
    """Listed on Tuesday the first of August 2023: its week opened on Monday in July."""
    own = listed("BYBIT", datetime(2023, 8, 1, 8))

    found = first_available(Bybit(NOW, own), own, WEEK)

    assert found == datetime(2023, 7, 31)


def test_weeks_that_are_all_off_the_grid_do_not_say_where_they_begin() -> None:
    """They go to quarantine later; here they are no reason to fail."""
    own = listed("BYBIT", datetime(2023, 8, 1, 8))
    own.candles = dict(own.candles) | {WEEK: truth.candles(Grid(WEEK), datetime(2023, 8, 1), NOW)}

    assert first_available(Bybit(NOW, own), own, WEEK) == datetime(2023, 7, 31)


def test_a_venue_without_months_of_an_instrument_is_not_said_to_begin_today() -> None:
    """Else all that came before this month would be left out as not listed."""
    own = listed("BYBIT", datetime(2021, 8, 1, 8))
    own.candles = dict(own.candles) | {MONTH: []}

    assert first_available(Bybit(NOW, own), own, MINUTE) is None


def test_minutes_that_begin_later_than_the_months_are_not_said_to_begin_with_them() -> None:
    """What is said is a moment before which there is nothing, not where the rows begin."""
    own = listed("OKX", datetime(2023, 5, 17, 3, 41))
    late = {frame: rows for frame, rows in own.candles.items() if frame is not MINUTE}
    own.candles = late | {MINUTE: MINUTES}

    assert first_available(Okx(NOW, own), own, MINUTE) == datetime(2023, 5, 17, 3)


@pytest.mark.parametrize(
    ("made", "native", "named"),
    [
        (Bybit, "NOPEUSDT", "Not supported"),
        (Okx, "NOPE-USDT", "doesn't exist"),
        (Bitget, "NOPEUSDT", "does not exist"),
        (Gate, "NOPE_USDT", "unknown"),
    ],
)
def test_a_symbol_that_the_venue_does_not_know_is_its_final_answer(
    made: Callable[..., StandIn], native: str, named: str
) -> None:
    """Bybit, OKX and Bitget say so with status 200 or 400 and a code of their own."""
    own = market(made.venue, "NOPE/USDT", native, candles=CANDLES)  # type: ignore[attr-defined]
    stand_in = made(NOW)

    with pytest.raises(SourceError, match=named) as refusal:
        fetched(stand_in, own, MINUTE, TimeRange(back(100), back(50)))

    assert not refusal.value.retryable


@of_case
def test_instruments_are_listed_with_their_contract_sizes(of: Case) -> None:
    async def main() -> None:
        async with opened(of.made(NOW, of.market)) as source:
            [found] = await source.instruments()
            own = of.market.instrument
            assert (found.code, found.native_id, found.kind) == (own.code, own.native_id, own.kind)
            assert (found.settle, found.contract_size) == (own.settle, own.contract_size)

    asyncio.run(main())


@pytest.mark.parametrize("of", CASES, ids=lambda of: of.name)
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_a_book_is_in_the_base_asset_and_as_deep_as_asked(of: Case, rate: float) -> None:
    own = of.market.instrument
    stand_in = of.made(NOW, of.market)

    async def main() -> list[Page]:
        async with opened(stand_in) as source:
            stand_in.trouble.rate = rate
            return [await source.book(own, depth) for depth in (1, 20, of.deepest)]

    pages = asyncio.run(main())

    for depth, page in zip((1, 20, of.deepest), pages, strict=True):
        [row] = page.rows.to_pylist()
        assert page.rejected == ()
        assert row["ts"] == from_us(BOOK.ts_ms * 1_000)
        # OKX's full book has no sequence.
        said = of.has_sequence and not (own.venue.name == "OKX" and depth > 400)
        assert row["sequence"] == (BOOK.sequence if said else None)
        for side, levels in (("bid", BOOK.bids), ("ask", BOOK.asks)):
            shown = levels[:depth]
            assert row[f"{side}_prices"] == [float(price) for price, _ in shown]
            amounts = [
                float(units * of.market.size) / (float(price) if own.kind is INVERSE else 1.0)
                for price, units in shown
            ]
            if own.venue.name == "BITGET":
                # It writes the base asset itself, of inverse contracts too.
                amounts = [float(of.market.base(price, units)) for price, units in shown]
            assert row[f"{side}_quantities"] == pytest.approx(amounts, rel=1e-15)


@of_one_kind
def test_a_book_that_is_deeper_than_the_venues_is_refused(of: Case) -> None:
    stand_in = of.made(NOW, of.market)

    async def main() -> None:
        async with opened(stand_in) as source:
            await source.book(of.market.instrument, of.deepest + 1)

    with pytest.raises(InvalidRequest, match=f"1 to {of.deepest:,}|1 to {of.deepest}"):
        asyncio.run(main())


@pytest.mark.torture
@pytest.mark.parametrize("kind", [*ANYWHERE, *IN_ROWS])
@of_case
def test_every_single_fault_is_survived(of: Case, kind: str) -> None:
    window = TimeRange(back(3_300), back(2_900))
    stand_in = of.made(NOW, of.market)
    # Four times in a row "not found" is an answer.
    rate = 0.05 if kind == "http_404" else 0.3

    pages = fetched(stand_in, of.market, MINUTE, window, rate=rate, kinds=(kind,))

    assert_true(of.market, pages, MINUTES, window)
