"""Binance's candle archives: rows, claims, and everything that can be wrong with a file."""

from __future__ import annotations

import struct
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from archive_kit import (
    HEADER,
    NOW,
    REAL_DATA,
    Contents,
    checksum_of,
    contents_of,
    csv_of,
    epoch_ms,
    gzip_of,
    line,
    lines,
    needs_real_data,
    recognised,
    zip_of,
)

from lake.domain.coverage import Basis
from lake.domain.identifiers import Venue
from lake.domain.ranges import TimeRange
from lake.domain.rows import Note
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import TimeFrame
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive import Hints, NotRecognised

DAY = datetime(2024, 3, 1)
WHOLE_DAY = TimeRange(DAY, DAY + timedelta(days=1))
SPOT = Hints(venue=Venue("BINANCE"))
USDM = Hints(venue=Venue("BINANCEUSDM"))
NAME = "BTCUSDT-1m-2024-03-01"


def read(path: Path, hints: Hints = SPOT, *, now: datetime = NOW) -> Contents:
    return contents_of(recognised(path, hints), now=now)


def closes(contents: Contents) -> list[float]:
    return contents.page.rows["close"].to_pylist()


def test_a_whole_day_in_a_zip_is_covered(tmp_path: Path) -> None:
    """The zip's CRC proves that nothing is lost, so the day may be claimed."""
    path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440))

    contents = read(path)

    page = contents.page
    assert page.rows.schema.equals(OHLCV.schema, check_metadata=True)
    assert page.rows.num_rows == 1440
    [claim] = page.claims
    assert (claim.range, claim.basis, claim.evidence) == (WHOLE_DAY, Basis.ARCHIVE, "zip CRC")
    assert (contents.remark, page.rejected, page.notes) == ("", (), ())
    assert page.rows.slice(1, 1).to_pylist() == [
        {
            "ts": DAY + timedelta(minutes=1),
            "open": 100.01,
            "high": 102.01,
            "low": 99.01,
            "close": 101.01,
            "volume": 2.0,
            "quote_volume": 200.02,
            "trade_count": 7,
            "taker_buy_volume": 1.0,
            "taker_buy_quote_volume": 100.01,
        }
    ]


@pytest.mark.parametrize("header", ["", HEADER])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_header_and_line_ends_make_no_difference(tmp_path: Path, header: str, ends: str) -> None:
    """Some archives have a header line and some have not (binance-public-data issue 283)."""
    text = (header + lines(DAY, 1440)).replace("\n", ends)

    contents = read(zip_of(tmp_path / f"{NAME}.zip", text))

    assert contents.page.rows.num_rows == 1440
    assert contents.page.rejected == ()


def test_milliseconds_and_microseconds_are_told_row_by_row(tmp_path: Path) -> None:
    """Spot archives changed the unit on 2025-01-01; a file joined by hand has both."""
    text = lines(DAY, 720) + lines(DAY + timedelta(hours=12), 720, unit=1000)

    contents = read(zip_of(tmp_path / f"{NAME}.zip", text))

    assert contents.page.rows["ts"].to_pylist() == [
        DAY + number * timedelta(minutes=1) for number in range(1440)
    ]
    assert contents.page.notes == ()


def test_a_hole_in_an_intact_archive_is_covered(tmp_path: Path) -> None:
    """The vendor says that these candles do not exist."""
    path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440, without=range(700, 780)))

    contents = read(path)

    assert contents.page.rows.num_rows == 1360
    [claim] = contents.page.claims
    assert (claim.range, claim.basis) == (WHOLE_DAY, Basis.ARCHIVE)


def test_a_day_that_ends_early_is_claimed_only_so_far(tmp_path: Path) -> None:
    """Cut before it was packed, it is intact as a zip and yet not whole; its last candle ran."""
    path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1007))

    contents = read(path)

    [claim] = contents.page.claims
    assert claim.range == TimeRange(DAY, DAY + timedelta(minutes=1006))
    assert contents.page.rows.num_rows == 1007
    assert "its last candle may not have closed" in contents.remark
    assert "433 candles missing after it are not taken as fact" in contents.remark


@pytest.mark.parametrize("kind", ["zip", "csv"])
def test_a_day_of_one_candle_claims_nothing(tmp_path: Path, kind: str) -> None:
    """It may have been running when the file was cut, and nothing lies before it."""
    text = lines(DAY, 1)
    path = tmp_path / f"{NAME}.{kind}"

    contents = read(zip_of(path, text) if kind == "zip" else csv_of(path, text))

    assert (contents.page.rows.num_rows, contents.page.claims) == (1, ())
    assert "the 1,439 candles missing after it are not taken as fact" in contents.remark


def test_a_plain_csv_without_holes_needs_no_proof(tmp_path: Path) -> None:
    path = csv_of(tmp_path / f"{NAME}.csv", lines(DAY, 1440))

    [claim] = read(path).page.claims

    assert (claim.range, claim.basis, claim.evidence) == (WHOLE_DAY, Basis.ARCHIVE, "complete")


def test_a_plain_csv_with_holes_promises_nothing(tmp_path: Path) -> None:
    """Nothing proves that the hole is the venue's and not the disk's."""
    path = csv_of(tmp_path / f"{NAME}.csv", lines(DAY, 1440, without=[5]))

    contents = read(path)

    assert contents.page.claims[0].basis is Basis.ROWS_ONLY
    assert "nothing proves it intact" in contents.remark


def test_a_checksum_proves_a_plain_csv(tmp_path: Path) -> None:
    path = csv_of(tmp_path / f"{NAME}.csv", lines(DAY, 1440, without=[5]))
    checksum_of(path)

    [claim] = read(path).page.claims

    assert (claim.basis, claim.evidence) == (Basis.ARCHIVE, "sha256")


def test_an_md5_is_a_checksum_too(tmp_path: Path) -> None:
    """KuCoin publishes those."""
    path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440))
    checksum_of(path, kind="md5")

    assert read(path).page.claims[0].evidence == "zip CRC, md5"
    checksum_of(path, "0" * 32)
    with pytest.raises(SourceError, match="differs from its checksum"):
        read(path)


def test_gzip_and_checksum_stand_in_the_evidence(tmp_path: Path) -> None:
    zipped = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440))
    checksum_of(zipped)
    packed = gzip_of(tmp_path / f"{NAME}.csv.gz", lines(DAY, 1440))

    assert read(zipped).page.claims[0].evidence == "zip CRC, sha256"
    assert read(packed).page.claims[0].evidence == "gzip CRC"


def test_an_early_close_is_a_note(tmp_path: Path) -> None:
    """The columns cannot hold it, and it says when the venue stopped."""
    text = lines(DAY, 1439) + line(
        DAY + timedelta(minutes=1439), price=114.39, closes_early_ms=18_000
    )

    contents = read(zip_of(tmp_path / f"{NAME}.zip", text))

    assert contents.page.notes == (
        Note(DAY + timedelta(minutes=1439), "early_close", "closed at 2024-03-01T23:59:41.999000"),
    )


def test_candles_that_have_not_closed_are_left_out(tmp_path: Path) -> None:
    path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440))

    contents = read(path, now=DAY + timedelta(minutes=1439, seconds=30))

    assert contents.page.rows.num_rows == 1439
    assert contents.page.rejected == ()
    assert contents.page.claims[0].range.end == DAY + timedelta(minutes=1438)


def test_bad_rows_are_kept_as_they_were_written(tmp_path: Path) -> None:
    """They go to quarantine with the reason; the others are stored."""
    good = lines(DAY, 1440, without=[3, 4, 5, 6])
    nan = line(DAY + timedelta(minutes=3)).replace("100.00000000", "NaN", 1)
    word = line(DAY + timedelta(minutes=4)).replace("100.00000000", "", 1)
    low = line(DAY + timedelta(minutes=5)).replace("99.00000000", "-1.0", 1)
    short = f"{epoch_ms(DAY + timedelta(minutes=6))},1,2\n"

    contents = read(zip_of(tmp_path / f"{NAME}.zip", nan + good + word + low + short))

    assert contents.page.rows.num_rows == 1436
    found = {each.ts: (each.reason, each.raw) for each in contents.page.rejected}
    assert found == {
        DAY + timedelta(minutes=3): ("open is not a positive number", nan.strip()),
        DAY + timedelta(minutes=4): ("open is not a positive number", word.strip()),
        DAY + timedelta(minutes=5): ("low is not a positive number", low.strip()),
        DAY + timedelta(minutes=6): ("has 3 fields instead of 12", short.strip()),
    }
    assert contents.page.claims[0].range == WHOLE_DAY


def test_headers_between_rows_and_repeated_rows_are_passed_over(tmp_path: Path) -> None:
    """Files that somebody put together by hand have both."""
    text = HEADER + lines(DAY, 700) + HEADER + lines(DAY, 1440)

    contents = read(zip_of(tmp_path / f"{NAME}.zip", text))

    assert contents.page.rows.num_rows == 1440
    assert contents.page.rejected == ()


def test_rows_that_contradict_one_another_are_not_stored(tmp_path: Path) -> None:
    """Nothing says which of them is right."""
    text = lines(DAY, 1440) + line(DAY + timedelta(minutes=9), price=555.0)

    contents = read(zip_of(tmp_path / f"{NAME}.zip", text))

    assert contents.page.rows.num_rows == 1439
    assert [each.ts for each in contents.page.rejected] == [DAY + timedelta(minutes=9)] * 2


def test_a_file_of_several_blocks_is_one_answer(tmp_path: Path) -> None:
    """A month of seconds is parsed block by block; rows repeated across blocks count once."""
    start = datetime(2024, 3, 1)
    seconds = range(epoch_ms(start), epoch_ms(start) + 200_000_000, 1000)
    rows = "".join(f"{ms},1,2,1,1,{ms % 9},{ms + 999},1,1,1,1,0\n" for ms in seconds)
    path = zip_of(tmp_path / "BTCUSDT-1s-2024-03.zip", rows + rows[: 60 * 1000])

    contents = read(path)

    assert contents.page.rows.num_rows == 200_000
    assert contents.page.rejected == ()
    assert contents.page.claims[0].range.end == start + timedelta(seconds=199_999)


def test_rows_of_another_day_are_not_stored(tmp_path: Path) -> None:
    text = lines(DAY, 1440) + lines(DAY + timedelta(days=1), 2)

    contents = read(zip_of(tmp_path / f"{NAME}.zip", text))

    assert contents.page.rows.num_rows == 1440
    assert len(contents.page.rejected) == 2


def test_coinm_contracts_become_base_and_quote(tmp_path: Path) -> None:
    """COIN-M counts contracts; its quote column is the base amount (COIN-M kline description)."""
    opened = epoch_ms(DAY)
    # 50 contracts of 100 USD at 50,000 are 0.1 BTC.
    text = f"{opened},50000,50010,49990,50005,50,{opened + 86_399_999},0.1,9,20,0.04,0\n"
    path = zip_of(tmp_path / "BTCUSD_PERP-1d-2024-03-01.zip", HEADER + text)

    contents = read(path, Hints())

    [row] = contents.page.rows.to_pylist()
    assert (row["volume"], row["quote_volume"]) == (0.1, 5_000.0)
    assert (row["taker_buy_volume"], row["taker_buy_quote_volume"]) == (0.04, 2_000.0)


def test_a_contract_size_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """A wrong size would store a wrong quote volume without any sign."""
    opened = epoch_ms(DAY)
    text = f"{opened},50000,50010,49990,50005,50,{opened + 86_399_999},0.01,9,20,0.004,0\n"

    with pytest.raises(SourceError, match="100 USD do not fit"):
        read(zip_of(tmp_path / "BTCUSD_PERP-1d-2024-03-01.zip", text), Hints())


def test_mark_prices_without_a_telling_folder_are_refused(tmp_path: Path) -> None:
    """They look like candles: only that nothing was ever traded in them tells."""
    text = "".join(line(DAY + timedelta(minutes=n), volume=0.0, trades=60) for n in range(1440))

    with pytest.raises(SourceError, match="never stored as ohlcv"):
        read(zip_of(tmp_path / f"{NAME}.zip", text))


class TestVenue:
    """The same name may be spot or futures; a wrong guess would mix two markets."""

    def test_nothing_says_which(self, tmp_path: Path) -> None:
        path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440))

        with pytest.raises(InvalidRequest, match="Say --venue BINANCE or --venue BINANCEUSDM"):
            recognised(path, Hints())

    def test_the_folder_says_it(self, tmp_path: Path) -> None:
        spot = zip_of(tmp_path / "data/spot/daily/klines" / f"{NAME}.zip", lines(DAY, 1440))
        usdm = zip_of(tmp_path / "data/futures/um/daily" / f"{NAME}.zip", lines(DAY, 1440))

        assert str(recognised(spot, Hints()).series) == "BTCUSDT.BINANCE ohlcv 1m"
        assert str(recognised(usdm, Hints()).series) == "BTCUSDT-PERP.BINANCEUSDM ohlcv 1m"

    def test_a_header_line_is_a_futures_file(self, tmp_path: Path) -> None:
        path = zip_of(tmp_path / f"{NAME}.zip", HEADER + lines(DAY, 1440))

        assert recognised(path, Hints()).series.venue == Venue("BINANCEUSDM")

    def test_microseconds_are_spot(self, tmp_path: Path) -> None:
        path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440, unit=1000))

        assert recognised(path, Hints()).series.venue == Venue("BINANCE")

    def test_a_venue_that_contradicts_the_folder_is_refused(self, tmp_path: Path) -> None:
        path = zip_of(tmp_path / "data/futures/um" / f"{NAME}.zip", lines(DAY, 1440))

        with pytest.raises(InvalidRequest, match="its folder 'um' says otherwise"):
            recognised(path, SPOT)

    def test_a_venue_that_contradicts_the_symbol_is_refused(self, tmp_path: Path) -> None:
        path = zip_of(tmp_path / "BTCUSD_PERP-1m-2024-03-01.zip", lines(DAY, 1440))

        with pytest.raises(InvalidRequest, match="its name says otherwise"):
            recognised(path, SPOT)

    def test_another_exchange_is_refused(self, tmp_path: Path) -> None:
        path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440))

        with pytest.raises(InvalidRequest, match="archive of Binance"):
            recognised(path, Hints(venue=Venue("KRAKEN")))


class TestRenamed:
    """People rename files; what is inside still counts."""

    def test_the_member_tells_what_a_renamed_zip_holds(self, tmp_path: Path) -> None:
        path = zip_of(tmp_path / "download.zip", lines(DAY, 1440), member=f"{NAME}.csv")

        assert recognised(path, SPOT).promise == WHOLE_DAY

    def test_a_zip_that_names_another_day_is_refused(self, tmp_path: Path) -> None:
        path = zip_of(
            tmp_path / f"{NAME}.zip", lines(DAY, 1440), member="ETHUSDT-1m-2024-03-01.csv"
        )

        with pytest.raises(SourceError, match="holds ETHUSDT 1m"):
            recognised(path, SPOT)

    def test_hints_stand_in_for_the_name(self, tmp_path: Path) -> None:
        """Its rows are stored, but nothing is promised, so its holes mean nothing."""
        path = csv_of(tmp_path / "mine.csv", lines(DAY, 100, without=[50]))
        hints = Hints(venue=Venue("BINANCE"), instrument="BTC/USDT", timeframe=TimeFrame.MINUTE_1)

        contents = read(path, hints)

        [claim] = contents.page.claims
        assert claim.basis is Basis.ROWS_ONLY
        assert claim.range == TimeRange(DAY, DAY + timedelta(minutes=100))

    def test_without_hints_it_is_not_recognised(self, tmp_path: Path) -> None:
        path = csv_of(tmp_path / "mine.csv", lines(DAY, 100))

        with pytest.raises(NotRecognised, match="say --venue, --instrument and --timeframe"):
            recognised(path, SPOT)


class TestDamage:
    """Nothing of a damaged or dangerous file is stored, and one line says why."""

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "is empty"),
            (b"<!DOCTYPE html><html>404 Not Found</html>", "is a web page or error message"),
            (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "is a web page"),
            (b'{"code":-1121,"msg":"Invalid symbol."}', "is a JSON message"),
            (b"1709251200000,1,2,3\n", "is not a zip"),
        ],
    )
    def test_what_is_no_zip(self, tmp_path: Path, content: bytes, why: str) -> None:
        path = tmp_path / f"{NAME}.zip"
        path.write_bytes(content)

        with pytest.raises(SourceError, match=why):
            read(path)

    @pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.98, 0.999])
    def test_a_cut_zip(self, tmp_path: Path, share: float) -> None:
        whole = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440)).read_bytes()
        path = tmp_path / f"{NAME}.zip"
        path.write_bytes(whole[: int(len(whole) * share)])

        with pytest.raises(SourceError, match=r"cut short|not a zip"):
            read(path)

    @pytest.mark.parametrize("place", range(60, 20_000, 1_999))
    def test_a_flipped_bit_in_a_zip(self, tmp_path: Path, place: int) -> None:
        """Bits that deflate happens to accept are found by the CRC."""
        path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440))
        content = bytearray(path.read_bytes())
        content[place] ^= 0x10
        path.write_bytes(content)

        with pytest.raises(SourceError, match=r"damaged|cut short"):
            read(path)

    def test_a_cut_gzip(self, tmp_path: Path) -> None:
        path = gzip_of(tmp_path / f"{NAME}.csv.gz", lines(DAY, 1440))
        path.write_bytes(path.read_bytes()[:-20])

        with pytest.raises(SourceError, match="cut short"):
            read(path)

    @pytest.mark.parametrize("cut", [1, 2, 3, 40, 100])
    def test_a_cut_last_line(self, tmp_path: Path, cut: int) -> None:
        """Cut anywhere but at the very end of a line's last field."""
        text = lines(DAY, 1440)[:-1]
        path = csv_of(tmp_path / f"{NAME}.csv", text[:-cut])

        with pytest.raises(SourceError, match="cut short in the middle of its last line"):
            read(path)

    def test_a_csv_cut_between_lines_promises_nothing(self, tmp_path: Path) -> None:
        path = csv_of(tmp_path / f"{NAME}.csv", lines(DAY, 1000))

        contents = read(path)

        [claim] = contents.page.claims
        assert claim.basis is Basis.ROWS_ONLY
        assert claim.range.end == DAY + timedelta(minutes=999)

    def test_a_wrong_checksum(self, tmp_path: Path) -> None:
        path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440))
        checksum_of(path, "0" * 64)

        with pytest.raises(SourceError, match=r"differs from its checksum in .*CHECKSUM"):
            read(path)

    def test_a_checksum_that_is_a_web_page(self, tmp_path: Path) -> None:
        path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440))
        path.with_name(path.name + ".CHECKSUM").write_text("<html>404</html>")

        with pytest.raises(SourceError, match="holds no sha256"):
            read(path)

    def test_several_members(self, tmp_path: Path) -> None:
        path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("other.csv", "1,2,3")

        with pytest.raises(SourceError, match="holds 2 files"):
            read(path)

    def test_no_member(self, tmp_path: Path) -> None:
        path = tmp_path / f"{NAME}.zip"
        zipfile.ZipFile(path, "w").close()

        with pytest.raises(SourceError, match="holds 0 files"):
            read(path)

    @pytest.mark.parametrize(
        "member", ["../../etc/passwd", "/etc/passwd", "a/b.csv", "a\\b.csv", "C:x.csv"]
    )
    def test_a_member_with_a_path(self, tmp_path: Path, member: str) -> None:
        path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440), member=member)

        with pytest.raises(SourceError, match="with a path"):
            read(path)

    def test_a_link_as_member(self, tmp_path: Path) -> None:
        path = tmp_path / f"{NAME}.zip"
        link = zipfile.ZipInfo(f"{NAME}.csv")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(link, "/etc/passwd")

        with pytest.raises(SourceError, match="holds a link"):
            read(path)

    def test_a_zip_bomb_is_stopped_before_it_is_unpacked(self, tmp_path: Path) -> None:
        """29 kB that would become 30 MB: the budget is what a day of minutes can take."""
        path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1) + "0" * 30_000_000)

        with pytest.raises(SourceError, match="zip bomb"):
            read(path)

    @pytest.mark.parametrize("size", [10, 10_000_000])
    def test_sizes_that_lie(self, tmp_path: Path, size: int) -> None:
        """Both of the places that give the unpacked size are changed."""
        path = zip_of(tmp_path / f"{NAME}.zip", lines(DAY, 1440))
        content = bytearray(path.read_bytes())
        struct.pack_into("<I", content, 22, size)
        struct.pack_into("<I", content, content.rindex(b"PK\x01\x02") + 24, size)
        path.write_bytes(content)

        with pytest.raises(SourceError, match=r"damaged|cut short|says it holds|do not have"):
            read(path)

    def test_a_file_without_candles(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="holds no candles"):
            read(zip_of(tmp_path / f"{NAME}.zip", HEADER))

    def test_a_file_with_other_columns(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="12 fields"):
            read(zip_of(tmp_path / f"{NAME}.zip", "1,2,3\n4,5,6\n"))

    def test_a_file_of_mostly_bad_rows(self, tmp_path: Path) -> None:
        """An hour's file under the name of a minute's would be all off the promise."""
        text = lines(datetime(2024, 5, 1), 1440)

        with pytest.raises(SourceError, match="1,440 bad rows of 1,440"):
            read(zip_of(tmp_path / f"{NAME}.zip", text))


@needs_real_data
class TestRealData:
    """Archives that Binance published, byte for byte."""

    def test_the_outage_of_2023_03_24(self) -> None:
        path = REAL_DATA / "binance_vision_spot_daily_klines" / "BTCUSDT-1m-2023-03-24.zip"

        contents = read(path, Hints())

        moments = contents.page.rows["ts"].to_pylist()
        day = datetime(2023, 3, 24)
        absent = {day + n * timedelta(minutes=1) for n in range(1440)} - set(moments)
        assert (min(absent), max(absent)) == (
            datetime(2023, 3, 24, 12, 40),
            datetime(2023, 3, 24, 13, 59),
        )
        assert len(absent) == 80
        assert contents.page.notes == (
            Note(
                datetime(2023, 3, 24, 12, 39), "early_close", "closed at 2023-03-24T12:39:41.646000"
            ),
        )
        assert contents.page.claims[0].basis is Basis.ARCHIVE

    def test_the_months_around_the_change_of_unit(self) -> None:
        folder = REAL_DATA / "binance_vision_spot_monthly_klines"

        moments = [
            moment
            for month in ("2024-12", "2025-01")
            for moment in read(folder / f"BTCUSDT-1h-{month}.csv", Hints())
            .page.rows["ts"]
            .to_pylist()
        ]

        hours = (datetime(2025, 2, 1) - datetime(2024, 12, 1)) // timedelta(hours=1)
        assert moments == [datetime(2024, 12, 1) + n * timedelta(hours=1) for n in range(hours)]

    @pytest.mark.parametrize(
        ("name", "rows"), [("AVAXUSDT-1m-2024-02", 41_760), ("LTCUSDT-1m-2026-02", 40_320)]
    )
    def test_futures_are_named_by_folder_and_header(self, name: str, rows: int) -> None:
        path = REAL_DATA / "binance_vision_um_monthly_klines" / f"{name}.csv.gz"

        file = recognised(path, Hints())

        assert file.series.venue == Venue("BINANCEUSDM")
        assert file.instrument.code == f"{name.split('-')[0]}-PERP"
        assert contents_of(file).page.rows.num_rows == rows

    def test_every_archive_is_whole(self) -> None:
        """All of them, with the numbers of rows that their README gives."""
        daily = (REAL_DATA / "binance_vision_spot_daily_klines").glob("*.zip")

        rows = {path.name: read(path, Hints()).page.rows.num_rows for path in daily}

        assert rows["BTCUSDT-1m-2023-03-24.zip"] == 1360
        assert rows["BTCUSDT-15m-2023-03-24.zip"] == 91
        assert rows["BTCUSDT-1h-2023-03-24.zip"] == 23
        assert sum(rows.values()) == 16_721
