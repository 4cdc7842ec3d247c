"""Files of no known format, read by a mapping: what is stored, and what is refused."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from archive_kit import contents_of, csv_of, gzip_of, recognised, zip_of

from lake.domain.coverage import Basis
from lake.domain.identifiers import DataType, Venue
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive import Hints, Lot
from lake.sources.archive.mapping import Mapping, Unit
from lake.sources.archive.mapping_text import joined, mapping_of, pairs_of, read_mapping

TRADES = Hints(Venue("KRAKEN"), "BTC/USD", DataType.TRADES)
CANDLES = Hints(Venue("KRAKEN"), "BTC/USD", DataType.OHLCV, TimeFrame.MINUTE_1)
FUNDING = Hints(Venue("BYBIT"), "BTC/USDT:USDT", DataType.FUNDING_RATES)
PLAIN = "ts=time,price=px,quantity=size,side"


def hints_of(map_: str, hints: Hints = TRADES, **more: Any) -> Hints:
    return replace(hints, mapping=mapping_of(pairs_of(map_, option="--map"), **more))


def read(path: Path, hints: Hints) -> Lot:
    return contents_of(recognised(path, hints)).page


def test_trades_of_a_csv(tmp_path: Path) -> None:
    """Ids are derived where there are none; a file somebody made promises nothing."""
    path = csv_of(
        tmp_path / "my.csv",
        "time,px,size,side\n1709294400.5,100,1,buy\n1709294401,101.5,2e-1,S\n1709294401,101.5,0.2,s\n",
    )

    file = recognised(path, hints_of(PLAIN))
    page = contents_of(file).page

    rows = page.rows.to_pylist()
    assert [row["price"] for row in rows] == [100, 101.5, 101.5]
    assert [row["side"] for row in rows] == ["buy", "sell", "sell"]
    assert rows[0]["ts"] == datetime(2024, 3, 1, 12, 0, 0, 500_000)
    assert len({row["trade_ref"] for row in rows}) == 3
    assert (file.variant, file.reader.tag.name) == ("single/derived", "import")
    assert {claim.basis for claim in page.claims} == {Basis.ROWS_ONLY}


@pytest.mark.parametrize("kind", ["zip", "gz", "json", "json.gz", "jsonl", "parquet", "feather"])
def test_the_same_rows_in_every_container(tmp_path: Path, kind: str) -> None:
    rows = [
        {"time": 1709294400000 + number, "px": 100.5, "size": 0.1, "side": "buy"}
        for number in range(3)
    ]
    text = "time,px,size,side\n" + "".join(
        f"{row['time']},{row['px']},{row['size']},{row['side']}\n" for row in rows
    )
    path = tmp_path / f"my.{kind}"
    if kind == "zip":
        zip_of(path, text)
    elif kind == "gz":
        path = gzip_of(tmp_path / "my.csv.gz", text)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "feather":
        pa.feather.write_feather(pa.Table.from_pylist(rows), str(path))
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        data = json.dumps(rows).encode()
        path.write_bytes(gzip.compress(data) if kind.endswith("gz") else data)

    found = read(path, hints_of(PLAIN)).rows

    assert found["price"].to_pylist() == [100.5] * 3
    assert found["quantity"].to_pylist() == [0.1] * 3
    assert found["ts"][2].as_py() == datetime(2024, 3, 1, 12, 0, 0, 2_000)


def test_columns_by_number_where_there_is_no_header(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "my.csv", "1709294400;7;100;1\n1709294401;8;101;2\n")

    rows = read(path, hints_of("ts=1,trade_id=2,price=3,quantity=4", delimiter=";")).rows

    assert rows["trade_id"].to_pylist() == [7, 8]
    assert rows["side"].to_pylist() == [None, None]


def test_columns_that_the_mapping_does_not_name_are_refused_by_name(tmp_path: Path) -> None:
    """The way out stands in the message, and works."""
    path = csv_of(tmp_path / "my.csv", "time,px,size,fee,note\n1709294400,100,1,0,x\n")
    short = "ts=time,price=px,quantity=size"

    with pytest.raises(InvalidRequest, match=r"'fee', 'note'.*--ignore fee,note"):
        recognised(path, hints_of(short))
    assert read(path, hints_of(short, ignore=["fee", "note"])).rows.num_rows == 1


@pytest.mark.parametrize(
    ("map_", "why"),
    [
        ("ts=time,price=px", "says nothing of quantity"),
        ("ts=time,price=px,quantity=size,open=px", "open: no column of trades"),
        ("ts=when,price=px,quantity=size,side", "has no column 'when'"),
        ("ts=time,price=px,quantity=size,side,is_buyer_maker=side", "say the same"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(tmp_path: Path, map_: str, why: str) -> None:
    path = csv_of(tmp_path / "my.csv", "time,px,size,side\n1709294400,100,1,buy\n")

    with pytest.raises(InvalidRequest, match=why):
        recognised(path, hints_of(map_))


def test_order_books_cannot_be_mapped(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "my.csv", "time,px\n1,2\n")
    books = replace(TRADES, data_type=DataType.ORDERBOOK)

    with pytest.raises(InvalidRequest, match="orderbook cannot be mapped"):
        recognised(path, hints_of("ts=time", books))


def test_candles_with_all_columns(tmp_path: Path) -> None:
    path = csv_of(
        tmp_path / "my.csv",
        "when,o,h,l,c,v,qv,n\n"
        "2024-03-01 13:00,100,102,99,101,2,200,7\n2024-03-01 13:01,101,102,99,101,2,,\n",
    )
    map_ = "ts=when,open=o,high=h,low=l,close=c,volume=v,quote_volume=qv,trade_count=n"

    page = read(path, hints_of(map_, CANDLES, timezone="Europe/Berlin"))

    assert page.rows["ts"].to_pylist() == [datetime(2024, 3, 1, 12), datetime(2024, 3, 1, 12, 1)]
    assert page.rows["quote_volume"].to_pylist() == [200.0, None]
    assert page.rows["trade_count"].to_pylist() == [7, None]
    assert page.rows["taker_buy_volume"].to_pylist() == [None, None]


def test_bad_rows_are_kept_as_they_were_written(tmp_path: Path) -> None:
    """Also one whose optional number is a word: it must not become "the venue does not say"."""
    good = "".join(f"170929440{number},100,1,buy\n" for number in range(5))
    path = csv_of(
        tmp_path / "my.csv",
        f"time,px,size,side\n{good}yesterday,100,1,buy\n1709294409,nan,1,buy\n"
        "1709294409,100,1,up\n1709294409,100\n",
    )

    page = read(path, hints_of(PLAIN))

    assert page.rows.num_rows == 5
    assert {(row.raw, row.reason) for row in page.rejected} == {
        ("yesterday,100,1,buy", "no readable time"),
        ("1709294409,nan,1,buy", "price is not a positive number"),
        ("1709294409,100,1,up", "side is neither buy nor sell"),
        ("1709294409,100", "has 2 fields instead of 4"),
    }


@pytest.mark.parametrize(
    ("first", "options", "moment"),
    [
        ("1709294409", {}, datetime(2024, 3, 1, 12, 0, 9)),
        ("1709294409", {"delimiter": ";"}, datetime(2024, 3, 1, 12, 0, 9)),
        ("20240301", {"time_format": "%Y%m%d"}, None),
    ],
)
def test_a_cut_line_has_the_time_that_it_begins_with(
    tmp_path: Path, first: str, options: dict[str, str], moment: datetime | None
) -> None:
    """Where that counts from 1970: a date that is written in digits does not."""
    comma = options.get("delimiter", ",")
    rows = [["time", "px", "size", "side"], *([[first, "100", "1", "buy"]] * 2), [first, "100"]]
    path = csv_of(tmp_path / "my.csv", "".join(comma.join(row) + "\n" for row in rows))
    mapping = replace(mapping_of(pairs_of(PLAIN, option="--map")), **options)

    [bad] = read(path, replace(TRADES, mapping=mapping)).rejected

    assert (bad.ts, bad.reason) == (moment, "has 2 fields instead of 4")


def test_an_optional_number_that_is_a_word_rejects_its_row(tmp_path: Path) -> None:
    lines = "".join(f"170929440{number * 6},1,1,1,1,1,x{number}\n" for number in range(1))
    more = "1709294460,1,1,1,1,1,5\n1709294520,1,1,1,1,1,6\n"
    path = csv_of(tmp_path / "my.csv", f"time,o,h,l,c,v,qv\n{lines}{more}")
    map_ = "ts=time,open=o,high=h,low=l,close=c,volume=v,quote_volume=qv"

    page = read(path, hints_of(map_, CANDLES))

    assert page.rows["quote_volume"].to_pylist() == [5, 6]
    assert [row.reason for row in page.rejected] == ["quote_volume is not a number from 0"]


def test_longer_candles_than_said_are_noticed(tmp_path: Path) -> None:
    """Five-minute candles stored as minutes would be four fifths hole."""
    lines = "".join(f"{1709294400 + 300 * number},1,1,1,1,1\n" for number in range(60))
    path = csv_of(tmp_path / "my.csv", f"time,o,h,l,c,v\n{lines}")
    map_ = "ts=time,open=o,high=h,low=l,close=c,volume=v"

    with pytest.raises(InvalidRequest, match=r"not 1m candles. Say --timeframe 5m"):
        read(path, hints_of(map_, CANDLES))


def test_an_hour_that_came_twice_is_not_guessed(tmp_path: Path) -> None:
    text = "time,px,size,side\n2024-10-27 01:59,1,1,buy\n2024-10-27 02:30,1,1,buy\n"
    path = csv_of(tmp_path / "my.csv", text + "2024-10-27 03:00,1,1,buy\n")

    page = read(path, hints_of(PLAIN, timezone="Europe/Berlin"))

    assert page.rows["ts"].to_pylist() == [
        datetime(2024, 10, 26, 23, 59),
        datetime(2024, 10, 27, 2),
    ]
    assert "came twice or never" in page.rejected[0].reason


@pytest.mark.parametrize(
    ("unit", "symbol", "expected"),
    [
        ("base", "BTC/USDT:USDT", 2.0),
        ("quote", "BTC/USDT:USDT", 0.02),
        ("contracts:0.001", "BTC/USDT:USDT", 0.002),
        ("contracts:100", "BTC/USD:BTC", 2.0),
    ],
)
def test_amounts_become_the_base_asset(
    tmp_path: Path, unit: str, symbol: str, expected: float
) -> None:
    path = csv_of(tmp_path / "my.csv", "time,px,size,side\n1709294400,100,2,buy\n")
    hints = replace(TRADES, instrument=symbol, unit=Unit.from_str(unit))

    rows = read(path, hints_of(PLAIN, hints)).rows

    assert rows["quantity"].to_pylist() == pytest.approx([expected])


def test_constants_and_words_for_sides(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "my.csv", "time,px,size,way\n1709294400,1,1,1\n1709294401,1,1,2\n")
    map_ = "ts=time,price=px,quantity=size"

    told = read(path, hints_of(f"{map_},side=way", sides={"1": "sell", "2": "buy"})).rows
    same = read(path, hints_of(map_, constants={"side": "buy"}, ignore=["way"])).rows

    assert told["side"].to_pylist() == ["sell", "buy"]
    assert same["side"].to_pylist() == ["buy", "buy"]


def test_ids_that_are_text_are_kept_as_references(tmp_path: Path) -> None:
    path = csv_of(
        tmp_path / "my.csv", "time,px,size,id\n1709294400,1,1,ab-1\n1709294401,1,1,ab-2\n"
    )

    file = recognised(path, hints_of("ts=time,price=px,quantity=size,trade_id=id"))

    rows = contents_of(file).page.rows
    assert rows["trade_ref"].to_pylist() == ["ab-1", "ab-2"]
    assert file.variant == "single/venue"


def test_ids_of_19_digits_are_numbers_as_far_as_64_bits_go(tmp_path: Path) -> None:
    """As text they would not meet the same trades of the exchange's answers."""
    ids = ["999999999999999999", "1192466789234561024", "9199999999999999999"]
    text = "time,px,size,side,id\n" + "".join(f"1709294400,100,1,buy,{each}\n" for each in ids)
    path = csv_of(tmp_path / "my.csv", f"{text}1709294401,100,1,buy,9300000000000000000\n")

    page = read(path, hints_of(f"{PLAIN},trade_id=id"))

    assert page.rows["trade_id"].to_pylist() == [int(each) for each in ids]
    assert len(page.rejected) == 1


def test_more_trades_of_one_moment_than_a_block_holds(tmp_path: Path) -> None:
    """Equal rows are numbered over the whole moment, wherever the reader's blocks end."""
    count = 120_000
    path = csv_of(tmp_path / "my.csv", "time,px,size,side\n" + "1709294400,100,1,buy\n" * count)

    rows = read(path, hints_of(PLAIN)).rows

    assert rows.num_rows == count
    assert len(set(rows["trade_ref"].to_pylist())) == count


def test_rows_in_no_order_are_put_into_one(tmp_path: Path) -> None:
    times = [1709294400 + 3_600 * number for number in (5, 1, 3, 0, 4, 2)]
    path = csv_of(
        tmp_path / "my.csv", "time,px,size,side\n" + "".join(f"{at},1,1,buy\n" for at in times)
    )

    rows = read(path, hints_of(PLAIN)).rows

    assert rows["ts"].to_pylist() == [
        datetime(2024, 3, 1, 12) + timedelta(hours=number) for number in range(6)
    ]


def test_funding_off_the_grid_of_utc_needs_a_zone(tmp_path: Path) -> None:
    lines = "".join(
        f"2024-03-{day:02} {hour:02}:00,0.0001\n" for day in (1, 2) for hour in (1, 9, 17)
    )
    path = csv_of(tmp_path / "my.csv", f"when,rate\n{lines}")
    map_ = "ts=when,funding_rate=rate"

    with pytest.raises(InvalidRequest, match=r"01:00, 09:00, 17:00.*--timezone \+01:00"):
        read(path, hints_of(map_, FUNDING))
    told = read(path, replace(hints_of(map_, FUNDING), timezone="Europe/Berlin"))
    assert told.rows["ts"][0].as_py() == datetime(2024, 3, 1)
    sure = contents_of(recognised(path, replace(hints_of(map_, FUNDING), timezone="UTC")))
    assert "off the 8-hour grid of UTC" in sure.remark
    assert sure.page.rows["ts"][0].as_py() == datetime(2024, 3, 1, 1)


# Damage and danger


def huge(path: Path) -> Path:
    """A gzip that unpacks to 600 times its size."""
    return gzip_of(path, "time,px,size,side\n" + "1709294400,100,1,buy\n" * 1_000_000)


def test_bombs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="zip bomb"):
        read(huge(tmp_path / "my.csv.gz"), hints_of(PLAIN))


@pytest.mark.parametrize("kind", ["feather", "parquet"])
def test_bombs_of_columns_are_refused(tmp_path: Path, kind: str) -> None:
    """Buffers of zeros: a few kilobytes would ask for 240 MB."""
    zeros = pa.array([0.0], pa.float64()).take(pa.array([0] * 10_000_000, pa.int32()))
    table = pa.table({"time": zeros, "px": zeros, "size": zeros})
    path = tmp_path / f"my.{kind}"
    if kind == "feather":
        pa.feather.write_feather(table, str(path), compression="zstd")
    else:
        pq.write_table(table, path, compression="zstd", use_dictionary=False)

    with pytest.raises(SourceError, match="zip bomb"):
        read(path, hints_of("ts=time,price=px,quantity=size"))


def test_a_feather_file_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    """Arrow makes room for what a buffer says it unpacks to: here an exabyte."""
    table = pa.table({"time": [1709294400] * 5_000, "px": [1.0] * 5_000, "size": [1.0] * 5_000})
    path = tmp_path / "my.feather"
    pa.feather.write_feather(table, str(path), compression="zstd")
    data = path.read_bytes()
    said = (5_000 * 8).to_bytes(8, "little")
    assert data.count(said) >= 3
    path.write_bytes(data.replace(said, (1 << 60).to_bytes(8, "little"), 2))

    with pytest.raises(SourceError, match=r"zip bomb|damaged"):
        read(path, hints_of("ts=time,price=px,quantity=size"))


@pytest.mark.parametrize("kind", ["csv.gz", "zip", "json", "parquet", "feather"])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, kind: str) -> None:
    rows = [
        {"time": 1709294400 + n, "px": 100.0 + n, "size": 1.0, "side": "buy"} for n in range(999)
    ]
    text = "time,px,size,side\n" + "".join(
        f"{1709294400 + n},{100 + n},1,buy\n" for n in range(999)
    )
    path = tmp_path / f"my.{kind}"
    if kind == "csv.gz":
        gzip_of(path, text)
    elif kind == "zip":
        zip_of(path, text)
    elif kind == "json":
        path.write_text(json.dumps(rows))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        pa.feather.write_feather(pa.Table.from_pylist(rows), str(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

    with pytest.raises(SourceError, match="my"):
        read(path, hints_of(PLAIN))


@pytest.mark.parametrize("name", ["my.csv", "my.json", "my.parquet", "my.feather", "my.csv.gz"])
def test_a_web_page_with_the_right_name_is_refused(tmp_path: Path, name: str) -> None:
    path = csv_of(tmp_path / name, "<!DOCTYPE html><html><body>404</body></html>\n")

    with pytest.raises(SourceError, match=r"web page|not what its name says"):
        recognised(path, hints_of(PLAIN))


@pytest.mark.parametrize("member", ["../my.csv", "/etc/my.csv", "a/my.csv"])
def test_members_with_paths_are_refused(tmp_path: Path, member: str) -> None:
    path = zip_of(tmp_path / "my.zip", "time,px,size,side\n", member=member)

    with pytest.raises(SourceError, match="holds a file with a path"):
        recognised(path, hints_of(PLAIN))


@pytest.mark.parametrize("text", ["{}", '{"error": 5}', "[]", "[[1],2]", "[", "3", '["a"]'])
def test_json_that_is_no_list_of_rows_is_refused(tmp_path: Path, text: str) -> None:
    path = csv_of(tmp_path / "my.json", text)

    with pytest.raises((SourceError, InvalidRequest)):
        recognised(path, hints_of(PLAIN))


# TOML

TOML = """
venue = "KRAKEN"
instrument = "BTC/USD"
type = "trades"
timezone = "Europe/Berlin"
unit = "base"
delimiter = ";"
ignore = ["fee"]

[columns]
ts = "when"
price = "px"
quantity = 3

[constants]
side = "buy"
"""


def test_a_mapping_in_toml(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(TOML)
    path = csv_of(tmp_path / "my.csv", "when;px;size;fee\n2024-03-01 13:00;100;1;0\n")

    told = read_mapping(file)
    hints = Hints(told.venue, told.instrument, told.data_type, mapping=told.mapping)
    rows = read(path, hints).rows.to_pylist()

    assert (rows[0]["ts"], rows[0]["side"]) == (datetime(2024, 3, 1, 12), "buy")


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(TOML)

    both = joined(read_mapping(file), mapping_of({"price": "paid"}, timezone="UTC"))

    assert both.mapping.columns == {"ts": "when", "price": "paid", "quantity": "3"}
    assert (both.mapping.timezone, both.mapping.delimiter) == ("UTC", ";")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("colums = 3", "colums: no key of a mapping"),
        ("ignore = 'a'", "ignore has a value of the wrong kind"),
        ("[columns]\nts = ['a']", "a value in columns"),
        ("venue = ", "no mapping can be read"),
        ("unit = 'lots'", "is not a unit"),
        ("timezone = 'Mars'", "is not a time zone"),
        ("[sides]\nx = 'up'", "up: no side"),
        ("delimiter = ';;'", "is not a delimiter"),
    ],
)
def test_a_toml_file_that_says_nonsense_is_refused(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "my.toml"
    file.write_text(text)

    with pytest.raises(InvalidRequest, match=why):
        read_mapping(file)


def test_pairs_come_once() -> None:
    with pytest.raises(InvalidRequest, match="comes twice"):
        pairs_of("ts=a,ts=b", option="--map")


def test_a_mapping_is_plain() -> None:
    """Two that say the same are equal."""
    assert Mapping(columns={"ts": "a"}) == Mapping(columns={"ts": "a"})


def test_the_mapping_of_the_documentation_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "importing.md").read_text()
    [block] = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    file = tmp_path / "my.toml"
    file.write_text(block)

    told = read_mapping(file)

    assert told.mapping.sides == {"1": "buy", "2": "sell"}
    # A constant and a column of one name would contradict one another.
    told.mapping.require_for(DataType.TRADES)
