"""Every SQL block of the documentation runs, and prints what stands below it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from lake.warehouse import Warehouse
from tests.warehouse.example_lake import make_example_lake

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sql\n(.*?)^```\n(?:```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
BLOCKS = [
    (page.name, number, sql, expected)
    for page in PAGES
    for number, (sql, expected) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    root = make_example_lake(tmp_path_factory.mktemp("docs") / "data")
    with Warehouse(root) as opened:
        yield opened


def cell(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)


def lines(answer: pl.DataFrame) -> list[str]:
    """The answer as a table of text: columns as wide as their longest cell, two blanks between."""
    table = [answer.columns, *([cell(value) for value in row] for row in answer.rows())]
    widths = [max(len(row[index]) for row in table) for index in range(answer.width)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [block[2:] for block in BLOCKS],
    ids=[f"{page}-{number}" for page, number, _, _ in BLOCKS],
)
def test_a_block_runs_and_gives_what_stands_below_it(
    warehouse: Warehouse, sql: str, expected: str
) -> None:
    answer = warehouse.query(sql)

    if expected:
        assert lines(answer) == expected.splitlines()


def test_the_page_names_every_macro_and_view(warehouse: Warehouse) -> None:
    """What is not on the page, nobody finds."""
    page = (REPOSITORY / "docs/sql.md").read_text(encoding="utf-8")
    names = warehouse.query(
        "select distinct function_name as name from duckdb_functions() "
        "where function_type = 'table_macro' and not internal "
        "union select view_name from duckdb_views() where not internal and schema_name = 'main'"
    )["name"].to_list()
    ours = [name for name in names if not name.startswith(("lake_", "btc_hours", "day_of"))]

    assert [name for name in ours if name not in page] == []
    assert len([block for block in BLOCKS if block[0] == "sql.md"]) >= 15
