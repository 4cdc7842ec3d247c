"""Tiny recordings of streams: whose they are, what they hold, and what ends a book."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from archive_kit import Contents, contents_of, csv_of, gzip_of

from lake.domain.identifiers import DataType, Venue
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive import ArchiveFile, Hints, NotRecognised, recognise
from lake.sources.archive.mapping import Unit

NOTHING = Hints()
NOON = datetime(2024, 3, 1, 12)
NOON_MS = 1_709_294_400_000
TRADES = Hints(data_type=DataType.TRADES)
Json = dict[str, Any]


def after(ms: int) -> datetime:
    return NOON + timedelta(milliseconds=ms)


def one(path: Path, hints: Hints) -> tuple[ArchiveFile, Contents]:
    [file] = recognise(path, hints)
    return file, contents_of(file)


# Binance, by hftbacktest


def hftbacktest(folder: Path, *messages: tuple[int, Json]) -> Path:
    lines = [f"{NOON_MS + at}000000 {json.dumps(message)}\n" for at, message in messages]
    return gzip_of(folder / "btcusdt_20240301.gz", "".join(lines))


def trade(at: int, number: int, **more: Any) -> Json:
    data = {"e": "trade", "E": NOON_MS + at, "s": "BTCUSDT", "t": number, "p": "100.5"}
    data |= {"q": "0.1", "T": NOON_MS + at, "m": True, **more}
    return {"stream": "btcusdt@trade", "data": data}


def depth(at: int, first: int, last: int, *, bid: str = "2", **more: Any) -> Json:
    data = {"e": "depthUpdate", "E": NOON_MS + at, "s": "BTCUSDT", "U": first, "u": last}
    data |= {"b": [["99", bid]], "a": [["101", "0"], ["102", "3"]], **more}
    return {"stream": "btcusdt@depth@100ms", "data": data}


def answer(last: int) -> Json:
    return {"lastUpdateId": last, "bids": [["98", "1"]], "asks": [["101", "1"]]}


def test_trades_of_a_stream(tmp_path: Path) -> None:
    """Quotes among them are left out; the taker sold where the buyer was the maker."""
    quote = {"stream": "btcusdt@bookTicker", "data": {"u": 1, "s": "BTCUSDT", "b": "1", "a": "2"}}
    path = hftbacktest(tmp_path, (0, trade(5, 7, M=True)), (1, quote), (2, trade(6, 8, M=True)))

    file, found = one(path, NOTHING)

    assert (str(file.series), file.variant) == ("BTCUSDT.BINANCE trades", "single/venue")
    assert found.streamed.is_intact
    row = found.page.rows.to_pylist()[0]
    assert (row["trade_id"], row["price"], row["quantity"], row["side"]) == (7, 100.5, 0.1, "sell")
    assert (row["ts"], row["received_at"]) == (after(5), after(0))


def test_ids_that_are_missing_end_the_claim(tmp_path: Path) -> None:
    """Binance's ids leave none out, so trades were lost between two that do not follow."""
    numbers = [(0, 7), (10, 8), (500, 12), (600, 13)]
    path = hftbacktest(tmp_path, *((at, trade(at, number, M=True)) for at, number in numbers))

    _, found = one(path, NOTHING)

    known = [(claim.range.start, claim.range.end) for claim in found.page.claims]
    microsecond = timedelta(microseconds=1)
    assert known == [(after(0), after(10) + microsecond), (after(500), after(600) + microsecond)]
    assert found.remark == "3 trades are missing between its ids"


def test_a_trade_that_is_told_again_counts_once(tmp_path: Path) -> None:
    """As it was received first."""
    path = hftbacktest(tmp_path, (0, trade(0, 7, M=True)), (90, trade(0, 7, M=True)))

    _, found = one(path, NOTHING)

    assert found.page.rows["received_at"].to_pylist() == [after(0)]


def test_a_trade_without_a_price_goes_to_quarantine(tmp_path: Path) -> None:
    """The futures stream reports what the insurance fund takes over as trades at price 0."""
    path = hftbacktest(tmp_path, (0, trade(0, 7, X="MARKET")), (1, trade(1, 8, p="0", X="NA")))

    file, found = one(path, NOTHING)

    assert str(file.series) == "BTCUSDT-PERP.BINANCEUSDM trades"
    assert found.page.rows.num_rows == 1
    [bad] = found.page.rejected
    assert bad.reason == "price is not a positive number"
    assert '"X": "NA"' in bad.raw


def test_a_book_begins_with_what_came_before_its_answer(tmp_path: Path) -> None:
    """The snapshot is asked for while changes come: that of 11 came before the answer did."""
    path = hftbacktest(
        tmp_path,
        (0, depth(0, 5, 9)),
        (1, depth(100, 10, 12)),
        (2, answer(10)),
        (3, depth(200, 13, 14, bid="4")),
        (4, depth(1_200, 15, 15, bid="0")),
    )

    file, found = one(path, NOTHING)

    assert (str(file.series), file.variant) == ("BTCUSDT.BINANCE orderbook", "rebuilt/20/1s")
    [row] = found.page.rows.to_pylist()
    assert (row["ts"], row["sequence"], row["received_at"]) == (after(1_000), 14, after(3))
    assert (row["bid_prices"], row["bid_quantities"]) == ([99.0, 98.0], [4.0, 1.0])
    assert (row["ask_prices"], row["ask_quantities"]) == ([102.0], [3.0])
    [claim] = found.page.claims
    assert (claim.range.start, claim.range.end) == (after(100), after(1_200))
    assert found.remark == ""


def test_a_change_that_does_not_follow_ends_the_book(tmp_path: Path) -> None:
    """Until the next snapshot; futures name the change before."""
    path = hftbacktest(
        tmp_path,
        (0, answer(10)),
        (1, depth(100, 9, 12, pu=8)),
        (2, depth(600, 14, 20, pu=12)),
        (3, depth(1_100, 30, 31, pu=25)),
        (4, answer(40)),
        (5, depth(2_100, 39, 41, pu=38)),
        (6, depth(3_100, 42, 42, pu=41)),
    )

    file, found = one(path, NOTHING)

    assert str(file.series) == "BTCUSDT-PERP.BINANCEUSDM orderbook"
    assert found.page.rows["sequence"].to_pylist() == [41]
    known = [(claim.range.start, claim.range.end) for claim in found.page.claims]
    assert known == [(after(100), after(600)), (after(2_100), after(3_100))]
    [note] = found.page.notes
    assert (note.ts, note.text) == (after(600), "update id 25 does not follow 20")


def test_contracts_of_coinm_become_the_base_asset(tmp_path: Path) -> None:
    """One of bitcoin's is a hundred dollars."""
    path = hftbacktest(tmp_path, (0, trade(0, 7, s="BTCUSD_PERP", p="50000", q="5")))

    file, found = one(path, NOTHING)

    assert str(file.series) == "BTCUSD-PERP-BTC.BINANCECOINM trades"
    assert found.page.rows["quantity"].to_pylist() == [0.01]


def test_single_and_aggregate_trades_are_two_series(tmp_path: Path) -> None:
    aggregate = {"e": "aggTrade", "a": 3, "f": 7, "l": 9, "M": True}
    path = hftbacktest(tmp_path, (0, trade(0, 7, M=True)), (1, trade(1, 7, **aggregate)))

    files = recognise(path, NOTHING)

    assert [file.variant for file in files] == ["aggregate/venue", "single/venue"]
    rows = contents_of(files[0]).page.rows
    assert rows["trade_id"].to_pylist() == [3]
    assert (rows["first_trade_id"].to_pylist(), rows["last_trade_id"].to_pylist()) == ([7], [9])


# Hyperliquid


def test_hyperliquids_books_are_whole(tmp_path: Path) -> None:
    """They stand as they were sent, or sampled; its coins are against USDC."""

    def book(at: int, price: str) -> Json:
        levels = [[{"px": price, "sz": "2", "n": 1}], [{"px": "105", "sz": "1", "n": 3}]]
        return {
            "channel": "l2Book",
            "data": {"coin": "BTC", "time": NOON_MS + at, "levels": levels},
        }

    path = hftbacktest(
        tmp_path, (0, book(0, "100")), (1, book(0, "100")), (2, book(900, "101")),
        (3, book(1_100, "102")),
    )  # fmt: skip

    file, found = one(path, NOTHING)
    sampled, samples = one(path, Hints(every=timedelta(seconds=1)))

    assert (str(file.series), file.variant) == ("BTCUSDC-PERP.HYPERLIQUID orderbook", "feed/20")
    assert found.page.rows["best_bid"].to_pylist() == [100.0, 101.0, 102.0]
    assert sampled.variant == "feed/20/1s"
    assert samples.page.rows["best_bid"].to_pylist() == [100.0, 101.0]
    assert samples.page.rows["ts"].to_pylist() == [after(0), after(1_000)]


def test_hyperliquids_takers(tmp_path: Path) -> None:
    rows = [
        {"coin": "BTC", "px": "9", "sz": "1", "side": side, "time": NOON_MS, "tid": number}
        for number, side in ((9, "B"), (4, "A"))
    ]
    path = hftbacktest(tmp_path, (0, {"channel": "trades", "data": rows}))

    _, found = one(path, NOTHING)

    assert found.page.rows["trade_id"].to_pylist() == [4, 9]
    assert found.page.rows["side"].to_pylist() == ["sell", "buy"]


# cryptofeed


def received(at: int, message: Json | str, *, conn: str = "ws.1") -> Json:
    text = message if isinstance(message, str) else json.dumps(message)
    return {"t": "recv", "conn": conn, "ts": (NOON_MS + at) / 1000, "data": text}


def answered(url: str, body: Json) -> Json:
    return {
        "t": "http",
        "conn": "http.0",
        "ts": NOON_MS / 1000,
        "url": url,
        "data": json.dumps(body),
    }


def cryptofeed(folder: Path, exchange: str, *lines: Json, packed: bool = False) -> Path:
    header = {"t": "header", "format": 2, "exchange": exchange}
    text = "".join(json.dumps(line) + "\n" for line in (header, *lines))
    if not packed:
        return csv_of(folder / f"{exchange}.jsonl", text)
    path = folder / f"{exchange}.jsonl.zst"
    with pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd") as file:
        file.write(text.encode())
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_one_recording_holds_many_series(tmp_path: Path, packed: bool) -> None:
    address = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000"
    other = depth(150, 1, 2)
    other["data"]["s"] = "ETHUSDT"
    path = cryptofeed(
        tmp_path,
        "BINANCE",
        answered(address, answer(10)),
        {"t": "connect", "conn": "ws.1", "ts": NOON_MS / 1000, "addr": "wss://stream"},
        received(100, depth(100, 9, 12)),
        received(150, other),
        received(200, "pong"),
        received(300, trade(300, 7, e="aggTrade", a=1, f=7, l=7, M=True)),
        received(1_300, depth(1_300, 13, 13)),
        packed=packed,
    )

    found = {str(file.series): file for file in recognise(path, NOTHING)}

    assert sorted(found) == [
        "BTCUSDT.BINANCE orderbook",
        "BTCUSDT.BINANCE trades",
        "ETHUSDT.BINANCE orderbook",
    ]
    books = contents_of(found["BTCUSDT.BINANCE orderbook"]).page.rows
    assert books["bid_prices"].to_pylist() == [[99.0, 98.0]]
    assert contents_of(found["BTCUSDT.BINANCE trades"]).page.rows.num_rows == 1
    with pytest.raises(SourceError, match="holds no snapshot"):
        contents_of(found["ETHUSDT.BINANCE orderbook"])
    [picked] = recognise(path, Hints(instrument="BTC/USDT", data_type=DataType.ORDERBOOK))
    assert str(picked.series) == "BTCUSDT.BINANCE orderbook"
    with pytest.raises(InvalidRequest, match="none of what was asked for"):
        recognise(path, Hints(instrument="SOL/USDT"))
    with pytest.raises(InvalidRequest, match="but --venue says KRAKEN"):
        recognise(path, Hints(Venue("KRAKEN")))


def okx(action: str, at: int, bids: Any, asks: Any, **more: Any) -> Json:
    arg = {"channel": "books", "instId": "BTC-USD-SWAP"}
    row = {"ts": str(NOON_MS + at), "bids": bids, "asks": asks, **more}
    return {"arg": arg, "action": action, "data": [row]}


def crc(text: str) -> int:
    found = zlib.crc32(text.encode())
    return found - (1 << 32) if found >= 1 << 31 else found


SWAPS = "https://www.okx.com/api/v5/public/instruments?instType=SWAP"
SIZE = {"instId": "BTC-USD-SWAP", "ctVal": "100", "ctMult": "1", "ctType": "inverse"}


def okx_lines(wrong: int = 0) -> Iterable[Json]:
    """A snapshot and two changes with their checksums; *wrong* is added to that of the last."""
    one, two = [["50000", "5", "0", "1"]], [["50010", "1", "0", "1"], ["50020", "2", "0", "1"]]
    yield answered(SWAPS, {"code": "0", "data": [SIZE]})
    first = crc("50000:5:50010:1:50020:2")
    yield received(0, okx("snapshot", 0, one, two, checksum=first))
    gone = [["50010", "0", "0", "0"]]
    yield received(500, okx("update", 500, [], gone, checksum=crc("50000:5:50020:2")))
    last = crc("50000:7:50020:2") + wrong
    yield received(1_500, okx("update", 1_500, [["50000", "7", "0", "1"]], [], checksum=last))


def test_okx_is_proved_by_checksums(tmp_path: Path) -> None:
    """Sizes are in the recording: contracts of a hundred dollars become the base asset."""
    file, found = one(cryptofeed(tmp_path, "OKX", *okx_lines()), NOTHING)

    assert (str(file.series), file.instrument.contract_size) == (
        "BTCUSD-PERP-BTC.OKX orderbook",
        100.0,
    )
    rows = found.page.rows.to_pylist()
    assert [row["ts"] for row in rows] == [after(0), after(1_000)]
    assert rows[1]["ask_prices"] == [50020.0]
    assert rows[1]["bid_quantities"] == [5 * 100 / 50000]
    assert found.page.notes == ()


def test_a_wrong_checksum_ends_the_book(tmp_path: Path) -> None:
    _, found = one(cryptofeed(tmp_path, "OKX", *okx_lines(wrong=1)), NOTHING)

    assert found.page.rows["ts"].to_pylist() == [after(0)]
    [claim] = found.page.claims
    assert claim.range.end == after(500)
    [note] = found.page.notes
    assert note.text.startswith("the book's checksum is not ")


def test_okx_ids_are_compared_where_there_are_some(tmp_path: Path) -> None:
    lines = [
        received(0, okx("snapshot", 0, [["9", "1"]], [["11", "1"]], seqId=5, prevSeqId=-1)),
        received(500, okx("update", 500, [["9", "2"]], [], seqId=9, prevSeqId=5)),
        received(1_500, okx("update", 1_500, [["9", "3"]], [], seqId=12, prevSeqId=10)),
    ]
    path = cryptofeed(tmp_path, "OKX", *lines)

    with pytest.raises(InvalidRequest, match="Say --unit"):
        recognise(path, NOTHING)
    _, found = one(path, Hints(unit=Unit.from_str("contracts:100")))
    assert [note.text for note in found.page.notes] == ["update id 10 does not follow 9"]


def coinbase(number: int, at: int, channel: str, *events: Json) -> Json:
    stamp = f"{after(at).isoformat()}Z"
    body = {"channel": channel, "timestamp": stamp, "sequence_num": number, "events": events}
    return received(at, body)


def l2(kind: str, *levels: tuple[str, str, str]) -> Json:
    rows = [
        {"side": side, "event_time": "", "price_level": price, "new_quantity": quantity}
        for side, price, quantity in levels
    ]
    return {"type": kind, "product_id": "BTC-USD", "updates": rows}


def test_a_message_that_a_connection_lost_may_be_any_books(tmp_path: Path) -> None:
    """The sequence counts all messages of a connection: 4 was of something else, or not."""
    lines = [
        coinbase(0, 0, "l2_data", l2("snapshot", ("bid", "9", "1"), ("offer", "11", "1"))),
        coinbase(1, 100, "heartbeats"),
        coinbase(2, 200, "l2_data", l2("update", ("bid", "9", "2"))),
        coinbase(4, 1_300, "heartbeats"),
        coinbase(5, 1_400, "l2_data", l2("update", ("bid", "9", "3"))),
    ]

    file, found = one(cryptofeed(tmp_path, "COINBASE", *lines), NOTHING)

    assert str(file.series) == "BTCUSD.COINBASE orderbook"
    assert found.page.rows["ts"].to_pylist() == [after(0)]
    [note] = found.page.notes
    assert note.text == "message 4 of the connection does not follow 2"
    [claim] = found.page.claims
    assert claim.range.end == after(200)


def test_coinbase_says_the_makers_side(tmp_path: Path) -> None:
    row = {"product_id": "BTC-USD", "trade_id": "7", "price": "9", "size": "1", "side": "SELL"}
    row["time"] = "2024-03-01T12:00:00.123456Z"
    line = coinbase(0, 200, "market_trades", {"type": "update", "trades": [row]})

    _, found = one(cryptofeed(tmp_path, "COINBASE", line), TRADES)

    assert found.page.rows["side"].to_pylist() == ["buy"]
    assert found.page.rows["ts"].to_pylist() == [NOON + timedelta(microseconds=123_456)]


def older(folder: Path) -> tuple[Path, Path]:
    address = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=5"
    seconds = NOON_MS / 1000
    http = folder / "BINANCE.http.0.0"
    csv_of(http, f"{address} -> {seconds}: {json.dumps(answer(10))}\n\n")
    lines = [f"wss://stream.binance.com:9443/stream?streams=a@b <-> {seconds}"]
    for at, message in ((100, depth(100, 9, 12)), (1_200, depth(1_200, 13, 13))):
        lines.append(f"{seconds + at / 1000}: {json.dumps(message)}")
    return http, csv_of(folder / "BINANCE.ws.1.0", "\n".join(lines) + "\n")


def test_the_older_format_keeps_answers_beside_its_streams(tmp_path: Path) -> None:
    http, stream = older(tmp_path)

    file, found = one(stream, NOTHING)

    assert (str(file.series), file.variant) == ("BTCUSDT.BINANCE orderbook", "rebuilt/20/1s")
    assert found.page.rows["bid_prices"].to_pylist() == [[99.0, 98.0]]
    with pytest.raises(NotRecognised, match=r"Import that one: both are read together"):
        recognise(http, NOTHING)
    stream.unlink()
    alone, answers = one(http, NOTHING)
    assert alone.variant == "rest/5"
    assert answers.page.rows["sequence"].to_pylist() == [10]


# Damage


def test_what_cannot_be_read_is_refused_with_its_line(tmp_path: Path) -> None:
    broken = cryptofeed(tmp_path / "a", "BINANCE", received(0, '{"stream": '))
    unknown = cryptofeed(tmp_path / "b", "BINANCE", {"t": "replay", "ts": 1})
    foreign = cryptofeed(tmp_path / "c", "BITTREX", received(0, {}))
    wrong = depth(0, 1, 2)
    wrong["data"]["b"] = [["x", "1"]]
    levels = hftbacktest(tmp_path / "d", (0, answer(1)), (1, wrong))

    with pytest.raises(SourceError, match=r"none of a recording \(line 2"):
        recognise(broken, NOTHING)
    with pytest.raises(SourceError, match="'replay' is no kind of line that is known"):
        recognise(unknown, NOTHING)
    with pytest.raises(SourceError, match="recording of BITTREX, whose messages are not read"):
        recognise(foreign, NOTHING)
    with pytest.raises(SourceError, match=r"a message that is not read \(line 2"):
        one(levels, NOTHING)


def test_a_cut_recording_is_refused(tmp_path: Path) -> None:
    packed = cryptofeed(
        tmp_path,
        "BINANCE",
        *(received(at, trade(at, at, M=True)) for at in range(500)),
        packed=True,
    )
    packed.write_bytes(packed.read_bytes()[:-20])
    gzipped = hftbacktest(tmp_path, *((at, trade(at, at, M=True)) for at in range(500)))
    gzipped.write_bytes(gzipped.read_bytes()[:-20])

    for path in (packed, gzipped):
        with pytest.raises(SourceError, match="is cut short"):
            recognise(path, NOTHING)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "BINANCE.jsonl.zst"
    with pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd") as file:
        file.write(b'{"t":"header","exchange":"BINANCE"}\n' + b"\n" * (64 << 20))

    with pytest.raises(SourceError, match="a zip bomb"):
        recognise(path, NOTHING)


def test_a_web_page_with_the_right_name_is_refused(tmp_path: Path) -> None:
    for name in ("btcusdt_20240301.gz", "BINANCE.jsonl.zst"):
        with pytest.raises(SourceError, match="is a web page"):
            recognise(csv_of(tmp_path / name, "<html>404</html>"), NOTHING)
