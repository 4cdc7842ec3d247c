"""Tiny files of Kraken, freqtrade, Lean, collectors of funding, Bybit, KuCoin, OKX and Gate."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pytest
from archive_kit import contents_of, csv_of, gzip_of, recognised, zip_of

from lake.domain.coverage import NOT_IN_FILE, QUIET_LEFT_OUT, Basis
from lake.domain.identifiers import Venue
from lake.domain.ranges import TimeRange
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive import Hints, recognise
from lake.sources.archive.mapping import Unit

NOTHING = Hints()
BINANCE = Hints(Venue("BINANCE"))
NOON = datetime(2024, 3, 1, 12)
DAY = TimeRange(datetime(2024, 3, 1), datetime(2024, 3, 2))
BYBIT = (
    "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,"
    "foreignNotional"
)
KUCOIN = "trade_id,trade_time,price,size,side\n"


# Kraken


def test_krakens_minutes(tmp_path: Path) -> None:
    """Its words for bitcoin and doge become everybody's; a quiet minute is absent."""
    path = csv_of(
        tmp_path / "XDGXBT_1.csv",
        "1709294400,2e-6,3e-6,1e-6,2e-6,100.5,4\n1709294520,2e-6,2e-6,2e-6,2e-6,1,1\n",
    )

    file = recognised(path, NOTHING)
    page = contents_of(file).page

    assert (str(file.series), file.instrument.symbol) == ("DOGEBTC.KRAKEN ohlcv 1m", "DOGE/BTC")
    assert page.rows["trade_count"].to_pylist() == [4, 1]
    assert page.rows["volume"].to_pylist() == [100.5, 1]
    assert [claim.basis for claim in page.claims] == [Basis.ROWS_ONLY]


def test_krakens_trades_have_fractions_and_no_sides(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "XBTUSD.csv", "1709294400.1234,100,1\n1709294400.1234,100,1\n")

    file = recognised(path, NOTHING)
    rows = contents_of(file).page.rows

    assert (str(file.series), file.variant) == ("BTCUSD.KRAKEN trades", "single/derived")
    assert rows["ts"].to_pylist() == [NOON.replace(microsecond=123_400)] * 2
    assert len(set(rows["trade_ref"].to_pylist())) == 2
    assert rows["side"].to_pylist() == [None, None]


def test_krakens_weeks_begin_on_thursdays(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "XBTUSD_10080.csv", "1709164800,1,1,1,1,1,1\n")

    with pytest.raises(SourceError, match="weeks that begin on Thursdays"):
        recognise(path, NOTHING)


@pytest.mark.parametrize(
    ("pair", "symbol"),
    [
        ("XTZUSD", "XTZ/USD"),
        ("DOTUSD", "DOT/USD"),
        ("BNBUSD", "BNB/USD"),
        ("USDTZUSD", "USDT/USD"),
        ("XBTUSDT", "BTC/USDT"),
        ("ETHXBT", "ETH/BTC"),
    ],
)
def test_krakens_pairs(tmp_path: Path, pair: str, symbol: str) -> None:
    path = csv_of(tmp_path / f"{pair}.csv", "1709294400,100,1\n")

    assert recognised(path, NOTHING).instrument.symbol == symbol


def test_a_csv_that_only_looks_like_krakens_by_name_is_none_of_its(tmp_path: Path) -> None:
    """Three columns and a time in seconds are needed, too."""
    path = csv_of(tmp_path / "XBTUSD.csv", "time,price,volume\n1709294400,100,1\n")

    with pytest.raises(SourceError, match="is not recognised"):
        recognise(path, NOTHING)


def test_an_error_of_kraken_saved_as_a_file_is_refused(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "ohlc.json", '{"error": ["EQuery:Unknown asset pair"]}')

    with pytest.raises(SourceError, match="EQuery:Unknown asset pair"):
        recognise(path, NOTHING)


# freqtrade


def feather(path: Path, **columns: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("open", "high", "low", "close", "volume")
    date = pa.array([NOON], pa.timestamp("ns", "UTC"))
    table = {"date": date, **{name: [100.0] for name in names}, **columns}
    pa.feather.write_feather(pa.table(table), str(path))
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BTC_USDT_USDT-1h-mark.feather", "ohlcv_mark"),
        ("BTC_USDT_USDT-1h-index.feather", "ohlcv_index"),
        ("BTC_USDT_USDT-1h-premiumIndex.feather", "ohlcv_premium"),
    ],
)
def test_other_prices_are_refused_by_name(tmp_path: Path, name: str, kind: str) -> None:
    with pytest.raises(SourceError, match=rf"holds {kind}.*never stored as ohlcv"):
        recognise(feather(tmp_path / name), BINANCE)


def test_a_spot_candle_of_freqtrade(tmp_path: Path) -> None:
    file = recognised(feather(tmp_path / "BTC_USDT-1h.feather"), BINANCE)

    assert str(file.series) == "BTCUSDT.BINANCE ohlcv 1h"
    assert contents_of(file).page.rows["ts"].to_pylist() == [NOON]


def test_freqtrades_json_candles_are_lists(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "BTC_USDT-1h.json", "[[1709294400000,100,102,99,101,2.5]]")

    rows = contents_of(recognised(path, BINANCE)).page.rows

    assert (rows["high"].to_pylist(), rows["volume"].to_pylist()) == ([102], [2.5])


def test_an_unknown_column_of_freqtrade_is_refused(tmp_path: Path) -> None:
    path = feather(tmp_path / "BTC_USDT-1h.feather", vwap=[100.0])

    with pytest.raises(SourceError, match=r"unknown columns \(vwap\)"):
        recognise(path, BINANCE)


def test_a_contracts_volume_is_only_believed_where_its_unit_is_known(tmp_path: Path) -> None:
    """ccxt counts OKX's candles in contracts; freqtrade keeps them so."""
    path = feather(tmp_path / "BTC_USDT_USDT-1h-futures.feather")
    sized = Hints(Venue("OKX"), unit=Unit.from_str("contracts:0.01"))

    with pytest.raises(InvalidRequest, match=r"or in contracts. Say --unit"):
        recognise(path, Hints(Venue("OKX")))
    assert contents_of(recognised(path, sized)).page.rows["volume"].to_pylist() == [1.0]
    assert str(recognised(path, BINANCE).series.venue) == "BINANCEUSDM"


def test_freqtrades_trades_without_ids_get_derived_ones(tmp_path: Path) -> None:
    """Those that freqtrade made from Kraken's bulk files have none."""
    text = '[[1709294400000,"",null,"",100.5,0.1,10.05],[1709294400000,"",null,"",100.5,0.1,10.05]]'
    path = csv_of(tmp_path / "BTC_EUR-trades.json", text)

    file = recognised(path, Hints(Venue("KRAKEN")))

    assert file.variant == "single/derived"
    assert len(set(contents_of(file).page.rows["trade_ref"].to_pylist())) == 2


# Lean


def lean(path: Path, text: str, member: str) -> Path:
    return zip_of(path, text, member=member)


def test_a_day_of_lean_is_in_its_name_only(tmp_path: Path) -> None:
    path = lean(
        tmp_path / "crypto/coinbase/minute/btcusd/20240301_trade.zip",
        "43200000,100,102,99,101,2\n43260000,101,101,101,101,1",
        "20240301_btcusd_minute_trade.csv",
    )

    file = recognised(path, NOTHING)
    page = contents_of(file).page

    assert str(file.series) == "BTCUSD.COINBASE ohlcv 1m"
    assert page.rows["ts"].to_pylist() == [NOON, NOON.replace(minute=1)]
    two_minutes = TimeRange(NOON, NOON.replace(minute=2))
    # What the day lacks at its ends is another matter than a quiet minute inside.
    assert [(claim.range, claim.basis, claim.evidence) for claim in page.claims] == [
        (two_minutes, Basis.ROWS_ONLY, QUIET_LEFT_OUT),
        (TimeRange(DAY.start, NOON), Basis.ROWS_ONLY, NOT_IN_FILE),
        (TimeRange(two_minutes.end, DAY.end), Basis.ROWS_ONLY, NOT_IN_FILE),
    ]


def test_a_time_beyond_the_day_is_rejected(tmp_path: Path) -> None:
    path = lean(
        tmp_path / "20240301_trade.zip",
        "0,1,1,1,1,1\n60000,1,1,1,1,1\n86400000,1,1,1,1,1\n",
        "20240301_btcusd_minute_trade.csv",
    )

    page = contents_of(recognised(path, Hints(Venue("COINBASE")))).page

    assert (page.rows.num_rows, len(page.rejected)) == (2, 1)


@pytest.mark.parametrize(
    ("name", "member", "why"),
    [
        ("20240301_quote.zip", "20240301_btcusd_minute_quote.csv", "holds quotes"),
        ("20240301_openinterest.zip", "x.csv", "holds open_interest"),
        ("20240301_trade.zip", "20240302_btcusd_minute_trade.csv", "not what its own name says"),
        ("20240301_trade.zip", "20240301_btcusd_Trade_Tick.csv", "ticks, which are not read"),
        ("20240301_trade.zip", "../20240301_btcusd_minute_trade.csv", "a file with a path"),
    ],
)
def test_what_lean_has_besides_is_refused(tmp_path: Path, name: str, member: str, why: str) -> None:
    path = lean(tmp_path / name, "0,1,1,1,1,1\n", member)

    with pytest.raises(SourceError, match=why):
        recognise(path, Hints(Venue("COINBASE")))


def test_years_of_lean_need_a_folder_or_a_word(tmp_path: Path) -> None:
    text = "20240301 12:00,1,1,1,1,1\n20240301 13:00,1,1,1,1,1\n"
    path = lean(tmp_path / "btcusd_trade.zip", text, "btcusd.csv")
    hours = Hints(Venue("COINBASE"), timeframe=TimeFrame.HOUR_1)

    with pytest.raises(InvalidRequest, match="--timeframe 1h or --timeframe 1d"):
        recognise(path, Hints(Venue("COINBASE")))
    assert contents_of(recognised(path, hours)).page.rows.num_rows == 2


# Funding


def test_a_history_of_another_symbol_is_refused(tmp_path: Path) -> None:
    """Rows are compared with the name: a renamed file is noticed."""
    path = csv_of(
        tmp_path / "BTC-USDT_gate_2024_funding_history.csv",
        "Symbol,Date,Funding Rate\nETH-USDT,2024-03-01 00:00:00,0.0001\n",
    )

    with pytest.raises(SourceError, match="is of another instrument"):
        contents_of(recognised(path, NOTHING))


def test_hyperliquids_history_needs_no_quote(tmp_path: Path) -> None:
    text = '[{"coin":"BTC","funding_rate":"0.0000125","time":1709294400031,"premium":"0.1"}]'
    path = csv_of(tmp_path / "hyperliquid_BTC_funding_rates.json", text)

    file = recognised(path, NOTHING)
    row = contents_of(file).page.rows.to_pylist()[0]

    assert str(file.series) == "BTCUSDC-PERP.HYPERLIQUID funding_rates"
    assert (row["ts"], row["funding_rate"]) == (NOON, 0.0000125)


# Trades of venues


def test_a_day_of_bybits_linear_trades(tmp_path: Path) -> None:
    """The venue's own file of a whole day, whose CRC is right: it is archive coverage."""
    path = gzip_of(
        tmp_path / "BTCUSDT2024-03-01.csv.gz",
        f"{BYBIT}\n1709294400.1234,BTCUSDT,Buy,0.012,100,PlusTick,aa-1,1,0.012,1.2\n"
        "1709294401.5,BTCUSDT,Sell,0.5,101,PlusTick,aa-2,1,0.5,50.5\n",
    )

    file = recognised(path, NOTHING)
    page = contents_of(file).page

    assert (str(file.series), file.variant) == ("BTCUSDT-PERP.BYBIT trades", "single/venue")
    assert page.rows["trade_ref"].to_pylist() == ["aa-1", "aa-2"]
    assert page.rows["quantity"].to_pylist() == [0.012, 0.5]
    assert page.rows["side"].to_pylist() == ["buy", "sell"]
    [claim] = page.claims
    assert (claim.range, claim.basis, claim.evidence) == (DAY, Basis.ARCHIVE, "gzip CRC")


def test_bybits_inverse_contracts_are_dollars(tmp_path: Path) -> None:
    path = gzip_of(
        tmp_path / "BTCUSD2024-03-01.csv.gz",
        f"{BYBIT},RPI\n1709294400,BTCUSD,Sell,258,100,MinusTick,aa-1,1,258,2.58,0\n",
    )

    file = recognised(path, NOTHING)

    assert str(file.series) == "BTCUSD-PERP-BTC.BYBIT trades"
    assert contents_of(file).page.rows["quantity"].to_pylist() == [2.58]


def test_rows_of_another_day_or_symbol_are_rejected(tmp_path: Path) -> None:
    good = "".join(f"170929440{n},BTCUSDT,Buy,1,100,T,aa-{n},1,1,1\n" for n in range(4))
    path = gzip_of(
        tmp_path / "BTCUSDT2024-03-01.csv.gz",
        f"{BYBIT}\n{good}1709208000,BTCUSDT,Buy,1,100,T,b,1,1,1\n"
        "1709294400,ETHUSDT,Buy,1,100,T,c,1,1,1\n",
    )

    page = contents_of(recognised(path, NOTHING)).page

    assert page.rows.num_rows == 4
    assert {row.reason for row in page.rejected} == {
        "outside the time that the file's name says",
        "is of another instrument or kind",
    }


def test_bybits_contracts_that_expire_are_refused(tmp_path: Path) -> None:
    path = gzip_of(tmp_path / "BTC-14MAR252024-03-01.csv.gz", f"{BYBIT}\n")

    with pytest.raises(SourceError, match="no perpetual"):
        recognise(path, NOTHING)


def test_an_unknown_column_of_bybit_is_refused(tmp_path: Path) -> None:
    path = gzip_of(tmp_path / "BTCUSDT2024-03-01.csv.gz", f"{BYBIT},isBlockTrade\n1,2\n")

    with pytest.raises(SourceError, match=r"unknown columns \(isBlockTrade\)"):
        recognise(path, NOTHING)


@pytest.mark.parametrize(
    ("name", "header", "line"),
    [
        ("BTCUSDT_2024-03-01.csv.gz", "id,timestamp,price,volume,side,rpi", "1,{},100,2,sell,0"),
        ("BTCUSDT-2024-03.csv.gz", "id,timestamp,price,volume,side", "1,{},100,2,sell,0"),
        ("BTCUSDT-2024-03.csv.gz", "id,timestamp,price,volume,side", "1,{},100,2,sell"),
    ],
)
def test_bybits_spot_ids_name_nothing(tmp_path: Path, name: str, header: str, line: str) -> None:
    """They count from 1 in every file. A month's lines have a field that its header has not."""
    text = f"{header}\n" + "".join(line.format(1709294400000) + "\n" for _ in range(2))

    file = recognised(gzip_of(tmp_path / name, text), NOTHING)
    rows = contents_of(file).page.rows

    assert (str(file.series), file.variant) == ("BTCUSDT.BYBIT trades", "single/derived")
    assert rows["trade_id"].to_pylist() == [None, None]
    assert len(set(rows["trade_ref"].to_pylist())) == 2
    assert rows["quantity"].to_pylist() == [2, 2]


def test_kucoins_files_are_told_from_binances_by_their_columns(tmp_path: Path) -> None:
    """Both are called SYMBOL-trades-DAY.zip."""
    text = f"{KUCOIN}8833558834331649,1709294400475,100,0.25,BUY\n"
    path = zip_of(tmp_path / "BTCUSDT-trades-2024-03-01.zip", text)

    file = recognised(path, NOTHING)

    rows = contents_of(file).page.rows
    assert str(file.series) == "BTCUSDT.KUCOIN trades"
    assert rows["trade_id"].to_pylist() == [8833558834331649]
    assert rows["side"].to_pylist() == ["buy"]


def test_binances_files_of_that_name_are_still_binances(tmp_path: Path) -> None:
    path = zip_of(
        tmp_path / "BTCUSDT-trades-2024-03-01.zip", "1,100,0.25,25,1709294400475,True,True\n"
    )

    assert str(recognised(path, BINANCE).series) == "BTCUSDT.BINANCE trades"


def test_kucoins_futures_are_counted_in_contracts(tmp_path: Path) -> None:
    text = f"{KUCOIN}1749781187484,1709294400475,100,6,sell\n"
    path = zip_of(tmp_path / "XBTUSDTM-trades-2024-03-01.zip", text)
    sized = Hints(unit=Unit.from_str("contracts:0.001"))

    with pytest.raises(InvalidRequest, match="Say --unit base, or --unit contracts:SIZE"):
        recognise(path, NOTHING)
    file = recognised(path, sized)
    assert str(file.series) == "BTCUSDT-PERP.KUCOINFUTURES trades"
    assert contents_of(file).page.rows["quantity"].to_pylist() == pytest.approx([0.006])


@pytest.mark.parametrize(
    "text",
    [
        "trade_id/交易id,side/交易方向,size/数量,price/价格,created_time/成交时间\n"
        "719977054,buy,0.5,100,1709294400856\n",
        "instrument_name,trade_id,side,price,size,created_time\n"
        "BTC-USDT,719977054,buy,100,0.5,1709294400856\n",
        "instrument_name,trade_id,side,price,size,created_time,source\n"
        "BTC-USDT,719977054,buy,100,0.5,1709294400856,0\n",
    ],
)
def test_okx_names_its_columns_in_three_ways(tmp_path: Path, text: str) -> None:
    path = zip_of(tmp_path / "BTC-USDT-trades-2024-03-01.zip", text)

    file = recognised(path, NOTHING)
    row = contents_of(file).page.rows.to_pylist()[0]

    assert str(file.series) == "BTCUSDT.OKX trades"
    assert (row["trade_id"], row["quantity"], row["side"]) == (719977054, 0.5, "buy")


def test_an_id_in_a_line_that_is_cut_is_no_time(tmp_path: Path) -> None:
    """Ids come first in it: 503837434 is not the 19th of December of 1985."""
    good = "".join(f"50383743{number},buy,0.5,100,170929440{number}000\n" for number in range(4))
    text = f"trade_id,side,size,price,created_time\n{good}503837434,buy,100\n"

    path = zip_of(tmp_path / "BTC-USDT-trades-2024-03-01.zip", text)
    [bad] = contents_of(recognised(path, NOTHING)).page.rejected

    assert (bad.ts, bad.raw) == (None, "503837434,buy,100")


def test_okx_trades_of_a_month(tmp_path: Path) -> None:
    path = zip_of(
        tmp_path / "BTC-USDT-trades-2024-03.zip",
        "instrument_name,trade_id,side,price,size,created_time\nBTC-USDT,1,buy,50,2,1709294400856\n",
    )

    file = recognised(path, NOTHING)

    assert (str(file.series), file.promise) == ("BTCUSDT.OKX trades", None)


def test_okx_swaps_are_counted_in_contracts(tmp_path: Path) -> None:
    path = zip_of(
        tmp_path / "BTC-USD-SWAP-trades-2024-03-01.zip",
        "instrument_name,trade_id,side,price,size,created_time\nBTC-USD-SWAP,1,buy,50,2,1709294400856\n",
    )

    with pytest.raises(InvalidRequest, match="Say --unit"):
        recognise(path, NOTHING)
    file = recognised(path, Hints(unit=Unit.from_str("contracts:100")))
    assert str(file.series) == "BTCUSD-PERP-BTC.OKX trades"
    assert contents_of(file).page.rows["quantity"].to_pylist() == [4]


def test_gates_sides_are_not_guessed(tmp_path: Path) -> None:
    """Whether 1 bought or sold is told in both ways."""
    path = gzip_of(
        tmp_path / "BTC_USDT-202403.csv.gz",
        "1709294400.123456,11,100,0.5,2\n1709294401,12,101,1,1\n",
    )

    file = recognised(path, NOTHING)
    rows = contents_of(file).page.rows

    assert (str(file.series), file.variant) == ("BTCUSDT.GATE trades", "single/venue")
    assert rows["ts"][0].as_py() == NOON.replace(microsecond=123_456)
    assert rows["side"].to_pylist() == [None, None]


def test_a_venue_that_contradicts_the_file_is_refused(tmp_path: Path) -> None:
    path = gzip_of(tmp_path / "BTC_USDT-202403.csv.gz", "1709294400,11,100,0.5,2\n")

    with pytest.raises(InvalidRequest, match="is of GATE, but --venue says BINANCE"):
        recognise(path, BINANCE)


@pytest.mark.parametrize(
    "name",
    [
        "XBTUSD.csv",
        "BTC_USDT-1h.json",
        "20240301_trade.zip",
        "BTCUSDT2024-03-01.csv.gz",
        "BTC-USDT_gate_funding_history.csv",
        "BTC_USDT-1h.feather",
    ],
)
def test_a_web_page_under_any_of_these_names_is_refused(tmp_path: Path, name: str) -> None:
    path = csv_of(tmp_path / name, "<html><body>Not found</body></html>\n")

    with pytest.raises(SourceError, match=r"web page|is not a zip|not what its name says"):
        recognise(path, BINANCE if "1h" in name else NOTHING)


def test_a_gzip_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    lines = "".join(
        f"1709294400.{n:04},BTCUSDT,Buy,1,{100 + n},T,aa-{n},1,1,1\n" for n in range(999)
    )
    path = gzip_of(tmp_path / "BTCUSDT2024-03-01.csv.gz", f"{BYBIT}\n{lines}")
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(SourceError, match="is cut short"):
        contents_of(recognised(path, NOTHING))
