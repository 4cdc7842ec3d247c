"""Every file of sql/analytics gives what its header works out by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from lake.sql_files import SqlFile, sql_files, sql_root
from lake.warehouse import Trust, Warehouse
from tests.warehouse.example_lake import make_example_lake

FILES = sql_files("analytics")
SKIPPED = {"id", "timeframe"}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    root = make_example_lake(tmp_path_factory.mktemp("analytics") / "data")
    with Warehouse(root) as opened:
        yield opened


def lines(file: SqlFile, key: str) -> list[str]:
    return re.findall(rf"^-- {key}: (.*)$", file.text, re.MULTILINE)


def cell(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_worked_example_gives_what_its_header_says(warehouse: Warehouse, file: SqlFile) -> None:
    [example] = lines(file, "example")

    answer = warehouse.query(example)

    shown = [" | ".join(cell(value) for value in row) for row in answer.rows()]
    assert shown == lines(file, "gives")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_header_says_what_a_user_must_know(file: SqlFile) -> None:
    assert file.header["analytics"] == file.name
    for key in ("version", "dialect", "parameters", "returns", "example", "gives", "worked"):
        assert file.header[key], key
    [given] = re.findall(rf"create or replace macro {file.name}\(([^)]*)\)", file.text)
    for parameter in re.findall(r"\w+(?= :=|,|$)", given.replace("null", "").replace("\n", " ")):
        assert re.search(rf"\b{parameter}\b", file.text.split("-- returns")[0]), parameter


def test_strangers_may_use_them_all(warehouse: Warehouse) -> None:
    with Warehouse(warehouse._root, trust=Trust.LOCKED) as locked:
        for file in FILES:
            [example] = lines(file, "example")
            assert locked.query(example).rows() == warehouse.query(example).rows(), file.name


def test_there_is_an_example_for_every_file() -> None:
    assert {file.name for file in FILES} == {
        path.stem for path in Path(sql_root() / "analytics").iterdir()
    }
