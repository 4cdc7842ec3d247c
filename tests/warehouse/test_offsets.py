"""An offset in a time literal counts, or is refused: it is never dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake.errors import InvalidRequest
from lake.warehouse import Trust, query
from lake.warehouse.moments import require_offsets_kept

FOUR = "'2024-01-01T04:00:00+02:00'"


@pytest.mark.parametrize(
    "sql",
    [
        f"select * from ohlcv_1h where ts >= {FOUR}",
        f"select * from ohlcv_1h where ts between '2024-01-01' and {FOUR}",
        f"select timestamp {FOUR}",
        f"select {FOUR}::timestamp",
        "select * from ohlcv_1h where ts < /* it's */ '2024-01-01 04:00:00-05' -- isn't",
    ],
)
def test_an_offset_that_would_be_dropped_is_refused(sql: str) -> None:
    """DuckDB takes four o'clock in Helsinki for four o'clock UTC, without a word."""
    with pytest.raises(InvalidRequest, match=r"offset of '2024-01-01.*would be dropped"):
        require_offsets_kept(sql)


@pytest.mark.parametrize(
    "sql",
    [
        f"select * from ohlcv_1h where ts >= {FOUR}::timestamptz::timestamp",
        f"select * from ohlcv_1h where ts >= timestamptz {FOUR}",
        f"select * from ohlcv('BTCUSDT.BINANCE', '1h', since := {FOUR})",
        "select * from ohlcv_1h where ts >= '2024-01-01T04:00:00Z'",
        "select * from ohlcv_1h where ts >= '2024-01-01 04:00:00+00:00'",
        f"select {FOUR} as told",
        "select 1 -- ts >= '2024-01-01T04:00:00+02:00'",
    ],
)
def test_what_keeps_the_offset_or_has_none_passes(sql: str) -> None:
    require_offsets_kept(sql)


@pytest.mark.parametrize("trust", list(Trust))
def test_every_way_of_asking_refuses_it(own_root: Path, trust: Trust) -> None:
    with pytest.raises(InvalidRequest, match="::timestamptz::timestamp"):
        query(own_root, f"select ts from ohlcv_1h where ts >= {FOUR}", trust=trust)
