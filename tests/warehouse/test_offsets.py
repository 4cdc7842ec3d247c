"""An offset in a time literal counts, or is refused: it is never dropped."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from lake.errors import InvalidRequest
from lake.warehouse import Trust, Warehouse, query
from lake.warehouse.moments import require_offsets_kept

FOUR = "'2024-01-01T04:00:00+02:00'"
HELSINKI = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    "sql",
    [
        f"select * from ohlcv_1h where ts >= {FOUR}",
        f"select * from ohlcv_1h where ts between '2024-01-01' and {FOUR}",
        f"select timestamp {FOUR}",
        f"select {FOUR}::timestamp",
        f"select {FOUR}::date",
        f"select {FOUR}::datetime",
        f"select {FOUR}::timestamp_ms",
        f"select {FOUR}::timestamp without time zone",
        f"select cast({FOUR} as timestamp), try_cast({FOUR} as timestamp)",
        f"select datetime {FOUR}, date {FOUR}",
        f"select * from ohlcv_1h where ts in ('2024-01-01', {FOUR})",
        f"select * from ohlcv_1h where ts < ({FOUR})",
        f"select * from ohlcv_1h where ({FOUR}) < ts",
        f"select * from ohlcv_1h where ts is distinct from {FOUR}",
        f"select * from ohlcv_1h where ts > coalesce({FOUR}, ts)",
        f"select * from ohlcv('BTCUSDT.BINANCE', '1h', since := {FOUR}::timestamp)",
        f"select * from ohlcv('BTCUSDT.BINANCE', '1h', since := coalesce({FOUR}, null))",
        f"select * from ohlcv('BTCUSDT.BINANCE', '1h') where ts > {FOUR}",
        f"with since as (select {FOUR} as t) select t::timestamp from since",
        f"select * from ohlcv_1h where ts > E{FOUR}",
        "select * from ohlcv_1h where ts > $$2024-01-01T04:00:00+02:00$$",
        "select * from ohlcv_1h where ts > $a$2024-01-01T04:00:00+02:00$a$",
        "select timestamp '2024-01-01T04:00:00'\n'+02:00'",
        "select * from ohlcv_1h where ts > '2024-01-01T04:00:00.123456789+02:00'",
        "select * from ohlcv_1h where ts > '2024-01-01 4:00:00+02'",
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
        f"select {FOUR}::timestamp with time zone, timestamp with time zone {FOUR}",
        f"select cast({FOUR} as timestamptz), TRY_CAST({FOUR} AS TIMESTAMP WITH TIME ZONE)",
        f"select * from \"OHLCV\" ('BTCUSDT.BINANCE', '1h', until := {FOUR}::timestamptz)",
        f"select * from returns('BTCUSDT.BINANCE', '1h', since := {FOUR}, until := $$2025-01-01$$)",
        f"select * from universe('BINANCE', {FOUR}, 'USDT')",
        f"select strptime({FOUR}, '%Y-%m-%dT%H:%M:%S%z')",
        f"select * from ohlcv('BTCUSDT.BINANCE', '1h', since := {FOUR})",
        "select * from ohlcv_1h where ts >= '2024-01-01T04:00:00Z'",
        "select * from ohlcv_1h where ts >= '2024-01-01 04:00:00+00:00'",
        f"select 'at {FOUR[1:-1]} in Helsinki' as told",
        "select 1 -- ts >= '2024-01-01T04:00:00+02:00'",
    ],
)
def test_what_keeps_the_offset_or_has_none_passes(sql: str) -> None:
    require_offsets_kept(sql)


@pytest.mark.parametrize("trust", list(Trust))
def test_every_way_of_asking_refuses_it(own_root: Path, trust: Trust) -> None:
    with pytest.raises(InvalidRequest, match="::timestamptz::timestamp"):
        query(own_root, f"select ts from ohlcv_1h where ts >= {FOUR}", trust=trust)


@pytest.mark.parametrize(
    "moment", [FOUR[1:-1], "2024-01-01 04:00+02:00", datetime(2024, 1, 1, 4, tzinfo=HELSINKI)]
)
def test_an_offset_in_a_parameter_counts(own_root: Path, moment: object) -> None:
    """Alone and in a list."""
    with Warehouse(own_root) as warehouse:
        alone = warehouse.query("select $t::timestamp as ts", {"t": moment})
        listed = warehouse.query("select unnest($t)::timestamp as ts", {"t": [moment]})

    assert alone["ts"].to_list() == listed["ts"].to_list() == [datetime(2024, 1, 1, 2)]


def test_an_offset_in_a_parameter_that_nobody_understands_is_refused(own_root: Path) -> None:
    with Warehouse(own_root) as warehouse, pytest.raises(InvalidRequest, match="offset"):
        warehouse.query("select $t::timestamp", {"t": "2024-1-1 4:00:00+02:00"})
