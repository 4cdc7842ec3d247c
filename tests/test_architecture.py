"""The import table of the rooms, read from the source text: who may know whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "lake"
# Everybody may import these: they know nobody but one another.
GROUND = {"lake", "domain", "errors", "sql_files", "open_files", "private_copies"}
# room -> the other rooms it may import
MAY_IMPORT: dict[str, set[str]] = {
    "domain": {"errors"},
    "errors": set(),
    "sql_files": {"errors"},
    "open_files": {"errors"},
    "private_copies": {"errors"},
    "sources": GROUND,
    "storage": GROUND,
    "warehouse": GROUND,
    "simulator": GROUND | {"storage"},
    "ingestion": GROUND | {"sources", "storage"},
    "store": GROUND | {"quality", "storage", "warehouse"},
    "quality": GROUND | {"storage", "warehouse"},
    "research": GROUND | {"config", "ingestion", "quality", "storage", "store", "warehouse"},
    "report": GROUND | {"quality", "storage", "store", "warehouse"},
    "config": GROUND,
    "cli": GROUND
    | {
        "config",
        "ingestion",
        "quality",
        "report",
        "simulator",
        "sources",
        "storage",
        "store",
        "warehouse",
    },
    "__main__": {"cli"},
    # The package's own face: the public names of DESIGN, section 7.
    "lake": GROUND | {"cli", "ingestion", "research", "storage", "store", "warehouse"},
}
# A foreign package that only some modules may import: one opens SQLite, one DuckDB, and so on.
ONLY_IN = {
    "apsw": {"storage"},
    "sqlite3": set[str](),
    "duckdb": {"warehouse"},
    "ccxt": {"sources"},
    "aiohttp": {"sources", "simulator"},
    "cyclopts": {"cli"},
    "rich": {"cli"},
}
HEAVY = {"ccxt", "duckdb", "polars", "pyarrow", "numpy", "apsw", "aiohttp"}


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return "lake" if first == "__init__.py" else first.removesuffix(".py")


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules that the file at *path* imports anywhere; not those only for type checking."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
                for each in orelse:
                    visit(each)
                return
            case ast.Import(names=names):
                found.update(each.name for each in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                found.add(module)
                if module == "lake":
                    found.update(f"lake.{each.name}" for each in names if each.name in MAY_IMPORT)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def rooms_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imported(path))
    return {parts[1] if len(parts) > 1 else "lake" for parts in names if parts[0] == "lake"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_the_rooms_it_may_know(path: Path) -> None:
    """Sources, storage and warehouse do not know one another; nothing runs in a circle."""
    room = room_of(path)

    known = rooms_imported(path) - {room}

    assert known <= MAY_IMPORT[room], f"{path.name} imports {known - MAY_IMPORT[room]}"


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_foreign_package_stays_in_its_room(package: str) -> None:
    """Two SQLite libraries on one file destroy data, so each has one owner."""
    importers = {
        room_of(path)
        for path in modules()
        if any(name.split(".")[0] == package for name in imported(path))
    }

    assert importers <= ONLY_IN[package]


@pytest.mark.parametrize("package", ["apsw", "duckdb"])
def test_one_module_opens_databases(package: str) -> None:
    """Whoever wants a connection asks the module that knows the rule of DESIGN, section 4."""
    openers = [
        path
        for path in modules()
        if any(
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in (f"{package}.connect", f"{package}.Connection")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    ]

    assert len(openers) <= 1, [str(path.relative_to(PACKAGE)) for path in openers]


def test_domain_is_pure() -> None:
    """No clock, file or network there; pyarrow only where columns are defined."""
    heavy = {
        str(path.relative_to(PACKAGE)): names & HEAVY
        for path in (PACKAGE / "domain").glob("*.py")
        if (names := {name.split(".")[0] for name in imported(path)}) & HEAVY
    }

    assert heavy == {"domain/schemas.py": {"pyarrow"}}


def test_importing_the_commands_imports_nothing_heavy() -> None:
    """`lake --help` must answer at once; ccxt alone takes half a second."""
    code = "import sys, lake.cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    ).stdout.split()

    assert not HEAVY & set(loaded)


def test_no_module_is_too_long() -> None:
    """Above 400 lines there is a second responsibility in it."""
    long = {
        str(path.relative_to(PACKAGE)): count
        for path in modules()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }

    assert long == {}
