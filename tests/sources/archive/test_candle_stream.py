"""Files that promise nothing are read a partition at a time, with what a whole reading gives."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from archive_kit import NOW, contents_of, csv_of, lines, recognised

from lake.domain.coverage import Basis
from lake.domain.identifiers import Venue
from lake.domain.ranges import TimeRange
from lake.domain.schemas import OHLCV
from lake.domain.timeframe import TimeFrame
from lake.errors import SourceError
from lake.sources.archive import ArchiveFile, Hints, Lot

HOUR = timedelta(hours=1)
START = datetime(2024, 1, 20)
HINTS = Hints(venue=Venue("BINANCE"), instrument="BTC/USDT", timeframe=TimeFrame.HOUR_1)


def file_of(path: Path, text: str) -> ArchiveFile:
    return recognised(csv_of(path / "mine.csv", text), HINTS)


def rows_of(pages: list[Lot]) -> pa.Table:
    return pa.concat_tables([OHLCV.schema.empty_table(), *(page.rows for page in pages)])


def test_each_partition_is_a_page_also_where_it_is_empty(tmp_path: Path) -> None:
    """From 20 January to 10 February, and then in April: March is a hole of a whole partition."""
    april = datetime(2024, 4, 5)
    text = lines(START, 24 * 22, step=HOUR) + lines(april, 30, step=HOUR)
    file = file_of(tmp_path, text)

    streamed = file.stream(now=NOW, scratch=tmp_path)
    pages = list(streamed.lots)

    assert file.promise is None
    assert (streamed.rows, streamed.rejected) == (24 * 22 + 30, 0)
    assert streamed.window == TimeRange(START, april + 30 * HOUR)
    assert [(page.window.start, page.rows.num_rows) for page in pages] == [
        (START, 24 * 12),
        (datetime(2024, 2, 1), 24 * 10),
        (datetime(2024, 3, 1), 0),
        (datetime(2024, 4, 1), 30),
    ]
    assert all([claim.range for claim in page.claims] == [page.window] for page in pages)
    assert {claim.basis for page in pages for claim in page.claims} == {Basis.ROWS_ONLY}


@pytest.mark.parametrize("seed", range(12))
def test_a_stream_gives_what_a_whole_reading_gives(tmp_path: Path, seed: int) -> None:
    """Holes, bad lines, headers in the midst, rows twice, now and then in no order."""
    rng = random.Random(seed)
    rows = lines(START, 24 * 90, step=HOUR).splitlines(keepends=True)
    rows = [row for row in rows if rng.random() > 0.1]
    for _ in range(rng.randrange(6)):
        at = rng.randrange(len(rows))
        rows[at] = rng.choice(
            [rows[at].replace(",", ",x", 1), "1,2,3\n", rows[at] * 2, "open_time" + rows[at][13:]]
        )
    if rng.random() < 0.3:
        rng.shuffle(rows)
    file = file_of(tmp_path, "".join(rows))

    # What promises a range is read whole.
    promised = replace(file, promise=TimeRange(START, START + 24 * 90 * HOUR))
    whole = contents_of(promised).page
    streamed = file.stream(now=NOW, scratch=tmp_path)
    pages = list(streamed.lots)

    assert rows_of(pages).combine_chunks().equals(whole.rows.combine_chunks())
    assert sorted(each.raw for page in pages for each in page.rejected) == sorted(
        each.raw for each in whole.rejected
    )
    assert streamed.rejected == len(whole.rejected)
    assert streamed.window.start == whole.rows["ts"][0].as_py()
    assert streamed.window.end == whole.rows["ts"][-1].as_py() + HOUR


def test_a_file_is_refused_before_anything_of_it_is_handed_on(tmp_path: Path) -> None:
    """The damage lies at the end; half a file must not be stored first."""
    text = lines(START, 24 * 60, step=HOUR)

    with pytest.raises(SourceError, match="cut short in the middle of its last line"):
        file_of(tmp_path, text[:-30]).stream(now=NOW, scratch=tmp_path)


def test_a_file_that_changes_meanwhile_is_an_error(tmp_path: Path) -> None:
    file = file_of(tmp_path, lines(START, 24 * 60, step=HOUR))
    streamed = file.stream(now=NOW, scratch=tmp_path)
    csv_of(file.path, lines(START, 30, step=HOUR) + "not a row\n")

    with pytest.raises(SourceError, match=r"changed while it was read|cut short"):
        list(streamed.lots)
