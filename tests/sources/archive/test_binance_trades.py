"""Binance's aggTrades and trades: what of a file becomes rows, and what it may claim."""

from __future__ import annotations

import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from archive_kit import (
    Contents,
    checksum_of,
    contents_of,
    csv_of,
    recognised,
    zip_of,
)
from trade_kit import AGGREGATE_HEADER, aggregate, aggregates

from lake.domain.coverage import Basis, Claim
from lake.domain.identifiers import DataType, Venue
from lake.domain.ranges import TimeRange
from lake.errors import InvalidRequest, SourceError
from lake.sources.archive import Hints
from lake.sources.archive.binance_trades import BinanceTrades

SPOT, USDM, COINM = Venue("BINANCE"), Venue("BINANCEUSDM"), Venue("BINANCECOINM")
DAY = datetime(2024, 3, 1)
WHOLE_DAY = TimeRange(DAY, DAY + timedelta(days=1))
NAME = "BTCUSDT-aggTrades-2024-03-01"
SINGLE = "BTCUSDT-trades-2024-03-01"
NONE = Hints()


def spot(folder: Path, text: str, name: str = NAME) -> Path:
    return zip_of(folder / f"{name}.zip", text)


def read(path: Path, hints: Hints = NONE, **options: datetime) -> Contents:
    return contents_of(recognised(path, hints), **options)


def row(contents: Contents, number: int = 0) -> dict[str, object]:
    found: dict[str, object] = contents.page.rows.slice(number, 1).to_pylist()[0]
    return found


class TestWhatAFileIs:
    def test_eight_fields_without_a_header_are_spot(self, tmp_path: Path) -> None:
        """Only spot says is_best_match, so nobody has to say --venue."""
        file = recognised(spot(tmp_path, aggregates(DAY, [1])), NONE)

        assert file.series.venue == SPOT
        assert file.series.data_type is DataType.TRADES
        assert (file.variant, file.promise) == ("aggregate/venue", WHOLE_DAY)

    @pytest.mark.parametrize("header", [AGGREGATE_HEADER, ""])
    def test_seven_fields_are_futures_with_or_without_a_header(
        self, tmp_path: Path, header: str
    ) -> None:
        """Old futures files have no header line."""
        path = spot(tmp_path, header + aggregates(DAY, [1, 2], tail=""))

        file = recognised(path, NONE)

        assert file.series.venue == USDM
        assert file.instrument.code == "BTCUSDT-PERP"
        assert contents_of(file).page.rows["trade_id"].to_pylist() == [1, 2]

    def test_a_month_is_promised_by_a_name_without_a_day(self, tmp_path: Path) -> None:
        path = spot(tmp_path, aggregates(DAY, [1]), "BTCUSDT-aggTrades-2024-02")

        assert recognised(path, NONE).promise == TimeRange(datetime(2024, 2, 1), DAY)

    def test_trades_are_single_fills(self, tmp_path: Path) -> None:
        path = spot(tmp_path, "7,100.5,0.25,25.125,1709251200005,true,true\n", SINGLE)

        file = recognised(path, NONE)
        found = row(contents_of(file))

        assert file.variant == "single/venue"
        assert found == {
            "ts": datetime(2024, 3, 1, 0, 0, 0, 5_000),
            "trade_id": 7,
            "trade_ref": None,
            "price": 100.5,
            "quantity": 0.25,
            "side": "sell",
            "first_trade_id": None,
            "last_trade_id": None,
            "received_at": None,
        }

    def test_a_renamed_zip_is_told_by_its_member(self, tmp_path: Path) -> None:
        path = zip_of(tmp_path / "mine.zip", aggregates(DAY, [1]), member=f"{NAME}.csv")

        assert recognised(path, NONE).promise == WHOLE_DAY

    def test_an_unknown_column_is_refused_by_name(self, tmp_path: Path) -> None:
        text = AGGREGATE_HEADER.replace("quantity", "size") + aggregates(DAY, [1], tail="")

        with pytest.raises(SourceError, match=r"unknown columns \(size\)"):
            recognised(spot(tmp_path, text), NONE)

    def test_spot_lines_are_not_of_futures(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="does not look like BINANCEUSDM"):
            recognised(spot(tmp_path, aggregates(DAY, [1])), Hints(venue=USDM))

    def test_another_type_than_said_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidRequest, match="holds trades, but --type says ohlcv"):
            recognised(spot(tmp_path, aggregates(DAY, [1])), Hints(data_type=DataType.OHLCV))


class TestRows:
    def test_an_aggregate_is_stored_as_it_stands(self, tmp_path: Path) -> None:
        text = aggregate(5, DAY, maker="True") + aggregate(6, DAY, maker="False")

        contents = read(spot(tmp_path, text))

        assert row(contents) == {
            "ts": DAY,
            "trade_id": 5,
            "trade_ref": None,
            "price": 100.5,
            "quantity": 0.25,
            "side": "sell",
            "first_trade_id": 10,
            "last_trade_id": 11,
            "received_at": None,
        }
        assert row(contents, 1)["side"] == "buy"

    def test_microseconds_are_recognised(self, tmp_path: Path) -> None:
        """Spot's archives are in microseconds from 2025 on."""
        day = datetime(2025, 1, 1)
        path = spot(tmp_path, aggregates(day, [1], unit=1000), "BTCUSDT-aggTrades-2025-01-01")

        assert row(read(path))["ts"] == datetime(2025, 1, 1, 0, 0, 1)

    def test_a_contract_of_coinm_becomes_coins(self, tmp_path: Path) -> None:
        """Three contracts of 100 USD at 60,000 are 0.005 BTC."""
        name = "BTCUSD_PERP-trades-2024-03-01"
        header = "id,price,qty,base_qty,time,is_buyer_maker\n"
        path = spot(tmp_path, f"{header}9,60000.0,3,0.00500000,1709251200000,false\n", name)

        file = recognised(path, NONE)

        assert file.series.venue == COINM
        assert row(contents_of(file))["quantity"] == pytest.approx(0.005, rel=1e-12)

    def test_a_contract_size_that_does_not_fit_is_refused(self, tmp_path: Path) -> None:
        name = "BTCUSD_PERP-trades-2024-03-01"
        path = spot(tmp_path, "9,60000.0,3,0.0005,1709251200000,false\n", name)

        with pytest.raises(SourceError, match="do not fit its base amounts"):
            read(path)

    def test_content_that_stands_twice_is_taken_once(self, tmp_path: Path) -> None:
        """Some of Binance's files hold a stretch of their rows twice, whole."""
        some = aggregates(DAY, range(1, 40_001))

        contents = read(spot(tmp_path, some + some + aggregates(DAY, [40_000, 40_001])))

        assert contents.streamed.rows == 40_001
        assert contents.page.rows["trade_id"].to_pylist() == list(range(1, 40_002))
        assert contents.page.rejected == ()

    def test_blocks_in_disorder_come_out_in_order(self, tmp_path: Path) -> None:
        """A parser's block is 1 MiB, some 13,000 lines; here whole blocks are swapped."""
        text = aggregates(DAY, range(30_000, 60_000)) + aggregates(DAY, range(1, 30_000))

        contents = read(spot(tmp_path, text))

        assert contents.page.rows["trade_id"].to_pylist() == list(range(1, 60_000))

    def test_different_trades_of_one_id_refuse_the_file(self, tmp_path: Path) -> None:
        """Also far apart, so that nothing of it is stored before it is noticed."""
        text = aggregates(DAY, range(1, 40_000))
        text += aggregates(DAY + timedelta(hours=12), range(1, 30_000))

        with pytest.raises(SourceError, match="rows of one key at different times"):
            read(spot(tmp_path, text))

    def test_bad_lines_are_kept_as_they_were_written(self, tmp_path: Path) -> None:
        bad = [
            aggregate(2, DAY, price="-1"),
            aggregate(3, DAY, quantity="abc"),
            aggregate(4, DAY, maker="perhaps"),
            "5,100.5\n",
        ]

        contents = read(
            spot(
                tmp_path,
                aggregates(DAY, [1]) + "".join(bad) + "".join(aggregates(DAY, range(6, 12))),
            )
        )

        assert contents.page.rows["trade_id"].to_pylist() == [1, *range(6, 12)]
        reasons = {each.raw + "\n": each.reason for each in contents.page.rejected}
        assert reasons == {
            bad[0]: "price is not a positive number",
            bad[1]: "quantity is not a positive number",
            bad[2]: "side is neither buy nor sell",
            bad[3]: "has 2 fields instead of 8",
        }
        assert [each.ts for each in contents.page.rejected if each.raw == "5,100.5"] == [None]

    def test_rows_of_another_day_are_rejected(self, tmp_path: Path) -> None:
        stray = aggregate(4, DAY + timedelta(days=1))

        contents = read(spot(tmp_path, aggregates(DAY, [1, 2, 3]) + stray))

        assert contents.page.rows["trade_id"].to_pylist() == [1, 2, 3]
        [rejected] = contents.page.rejected
        assert (rejected.raw + "\n", rejected.ts) == (stray, DAY + timedelta(days=1))
        assert rejected.reason == "outside the time that the file's name says"

    def test_ids_that_are_not_dense_are_told(self, tmp_path: Path) -> None:
        """No error: the file may be right, and only a comparison can say so."""
        contents = read(spot(tmp_path, aggregates(DAY, [1, 2, 5])))

        assert contents.streamed.rows == 3
        assert "2 between 1 and 5 are not in it" in contents.remark


class TestClaims:
    def test_an_intact_zip_covers_what_its_name_promises(self, tmp_path: Path) -> None:
        path = spot(tmp_path, aggregates(DAY, [1, 2, 3]))

        assert read(path).page.claims == (Claim(WHOLE_DAY, Basis.ARCHIVE, "zip CRC"),)

        checksum_of(path)
        assert read(path).page.claims == (Claim(WHOLE_DAY, Basis.ARCHIVE, "zip CRC, sha256"),)

    def test_a_bare_csv_proves_nothing(self, tmp_path: Path) -> None:
        contents = read(csv_of(tmp_path / f"{NAME}.csv", aggregates(DAY, [1, 2, 3])))

        assert contents.page.claims == (Claim(WHOLE_DAY, Basis.ROWS_ONLY),)
        assert "nothing proves it intact" in contents.remark

    @pytest.mark.parametrize("text", ["", AGGREGATE_HEADER])
    def test_an_empty_file_denies_nothing(self, tmp_path: Path, text: str) -> None:
        """A dead market looks like a failed export: one answer is no proof of silence."""
        contents = read(spot(tmp_path, text), Hints(venue=USDM))

        assert (contents.streamed.rows, contents.page.claims) == (0, ())
        assert "holds no trades" in contents.remark

    def test_a_day_that_is_not_over_is_not_promised(self, tmp_path: Path) -> None:
        contents = read(spot(tmp_path, aggregates(DAY, [1, 2])), now=DAY + timedelta(hours=1))

        [claim] = contents.page.claims
        assert (claim.basis, claim.range.end) == (
            Basis.ROWS_ONLY,
            datetime(2024, 3, 1, 0, 0, 2, 1),
        )

    def test_every_day_of_a_month_is_a_lot(self, tmp_path: Path) -> None:
        """Days without trades are covered as well."""
        text = aggregates(DAY, [1, 2]) + aggregates(DAY + timedelta(days=3), [3])
        file = recognised(spot(tmp_path, text, "BTCUSDT-aggTrades-2024-03"), NONE)

        contents = contents_of(file)

        assert contents.page.rows.num_rows == 3
        assert len(contents.page.claims) == 31
        assert contents.page.claims[1].range.start == datetime(2024, 3, 2)


class TestDamage:
    def test_a_wrong_checksum_is_refused(self, tmp_path: Path) -> None:
        path = spot(tmp_path, aggregates(DAY, [1]))
        checksum_of(path, "0" * 64)

        with pytest.raises(SourceError, match="differs from its checksum"):
            read(path)

    def test_a_cut_zip_is_refused(self, tmp_path: Path) -> None:
        path = spot(tmp_path, aggregates(DAY, range(1, 5_000)))
        path.write_bytes(path.read_bytes()[:-500])

        with pytest.raises(SourceError, match="cut short or damaged"):
            read(path)

    def test_a_flipped_bit_is_refused_and_leaves_no_scratch(self, tmp_path: Path) -> None:
        path = tmp_path / f"{NAME}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(f"{NAME}.csv", aggregates(DAY, range(1, 5_000)))
        data = bytearray(path.read_bytes())
        at = data.index(b"100.5", 90_000)
        data[at : at + 1] = b"2"
        path.write_bytes(data)
        scratch = tmp_path / "scratch"
        scratch.mkdir()

        with pytest.raises(SourceError, match="damaged"):
            recognised(path, NONE).stream(now=datetime(2024, 4, 1), scratch=scratch)

        assert list(scratch.iterdir()) == []

    def test_a_zip_bomb_is_refused(self, tmp_path: Path) -> None:
        path = spot(tmp_path, aggregate(1, DAY) * 400_000)

        with pytest.raises(SourceError, match="zip bomb"):
            read(path)

    def test_nonsense_is_refused_in_one_line(self, tmp_path: Path) -> None:
        text = aggregate(1, DAY) + "".join(aggregate(n, DAY, price="nan") for n in range(2, 9))

        with pytest.raises(SourceError, match=r"has 7 bad rows of 8; the first"):
            read(spot(tmp_path, text))


def test_memory_does_not_hold_what_is_long(tmp_path: Path) -> None:
    """Above a bound all rows go to the scratch folder, and are gone when they were handed on."""
    text = aggregates(DAY, range(1, 60_000), every=timedelta(seconds=40))
    path = spot(tmp_path, text, "BTCUSDT-aggTrades-2024-03")
    [file] = BinanceTrades(memory_rows=20_000).recognise(path, NONE) or ()
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    streamed = file.stream(now=datetime(2024, 5, 1), scratch=scratch)
    spilled = len(list(scratch.iterdir()))
    ids = []
    for lot in streamed.lots:
        tables = [lot.rows] if isinstance(lot.rows, pa.Table) else list(lot.rows)
        ids += [number for table in tables for number in table["trade_id"].to_pylist()]

    assert spilled == 28
    assert ids == list(range(1, 60_000))
    assert list(scratch.iterdir()) == []
