"""shell: DuckDB's own command line with the lake's names in it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lake.cli.arguments import HERE, Place
from lake.errors import InvalidRequest, StorageError

if TYPE_CHECKING:
    from lake.warehouse.init_file import InitFile

_PACKAGE = "duckdb_cli"
# Not the files that SQLite's readers in WAL mode share with its writers (-wal, -shm).
_GUARDED = ("parquet", "quarantine", "snapshots", "revisions", "lake.json", "lake.toml")
_DATABASES = ("catalog.sqlite", "hot.sqlite")


def shell(
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)],
    init_file: Path | None = None,
    place: Place = HERE,
) -> int:
    """Open DuckDB's command line over the lake: history, completion, paging.

    Everything that `lake sql` knows is there. Where the system can, the lake's files are mounted
    read-only for the shell. For example:

      lake shell

      lake shell -- -c "from ohlcv_1h limit 5"

      lake shell --init-file lake.sql; duckdb -init lake.sql

    Args:
        words: Passed on to DuckDB's command line; put them behind `--`.
        init_file: Only write what prepares any DuckDB of the same version, to this file.
    """
    root = place.root()
    if init_file is not None:
        return _write_init(root, init_file)
    program = _program()
    prepared = _prepared(root)
    with tempfile.TemporaryDirectory(prefix="lake-shell-") as folder:
        refresh, init = Path(folder) / f"refresh-{os.getpid()}.sql", Path(folder) / "init.sql"
        refresh.write_text(prepared.refresh, encoding="utf-8")
        init.write_text(prepared.text, encoding="utf-8")
        guard = _guard(root)
        if sys.stdin.isatty() and not words:
            _greet(root, refresh, is_guarded=bool(guard))
        return _run([*guard, str(program), "-init", str(init), *words])


def _write_init(root: Path, path: Path) -> int:
    if path.resolve().is_relative_to(root.resolve()):
        raise InvalidRequest(f"{path} lies in the lake. Name a file outside of it.")
    try:
        path.write_text(_prepared(root).text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}.") from error
    print(f"{path.absolute()} written; use it with: duckdb -init {path}", file=sys.stderr)
    return 0


def _prepared(root: Path) -> InitFile:
    from lake.warehouse.init_file import init_file

    prepared = init_file(root, now=datetime.now(UTC).replace(tzinfo=None))
    for broken in prepared.broken:
        print(f"lake shell: {broken}", file=sys.stderr)
    return prepared


def _program() -> Path:
    """DuckDB's command line: of the package beside us, else the one on PATH if it is the same.

    Raises:
        InvalidRequest: There is none of our version.
    """
    from lake.warehouse.extension import duckdb_version

    version = duckdb_version()
    found = importlib.util.find_spec(_PACKAGE)
    for folder in (found.submodule_search_locations or []) if found else []:
        program = Path(folder) / "duckdb"
        if program.is_file():
            return program
    on_path = shutil.which("duckdb")
    if on_path is not None:
        said = subprocess.run([on_path, "--version"], capture_output=True, text=True, check=False)
        if said.stdout.startswith(f"v{version} "):
            return Path(on_path)
    raise InvalidRequest(
        f"DuckDB's command line of version {version} is not installed. Install it with "
        f"`python -m pip install duckdb-cli=={version}`, or use `lake sql`."
    )


def _guard(root: Path) -> list[str]:
    """Words before a command that make the lake's rows read-only for it; none where that fails.

    DuckDB's COPY may overwrite whatever its user may. Linux lets a process mount a folder
    read-only for itself alone, in a namespace of its own.
    """
    unshare = shutil.which("unshare")
    places = [str(root / name) for name in (*_GUARDED, *_DATABASES) if (root / name).exists()]
    if unshare is None:
        return []
    script = (
        'while [ "$1" != -- ]; do mount --bind "$1" "$1" && '
        'mount -o remount,ro,bind "$1" || exit 1; shift; done; shift; exec "$@"'
    )
    words = [unshare, "--map-root-user", "--mount", "sh", "-c", script, "sh", *places, "--"]
    tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if tried.returncode == 0 else []


def _greet(root: Path, refresh: Path, *, is_guarded: bool) -> None:
    print(f"lake at {root.absolute()}")
    print("from ohlcv('BTCUSDT.BINANCE', '1h', since := '2024-01-01');  .tables  .schema NAME")
    print(f"what was stored since the start:  .read {refresh}")
    if not is_guarded:
        print("the lake's rows cannot be mounted read-only here: COPY runs with your rights")


def _run(command: list[str]) -> int:
    """Run *command* in the foreground; Ctrl-C is for it, not for us."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with subprocess.Popen(
            command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        ) as child:
            return 1 if child.wait() else 0
    finally:
        signal.signal(signal.SIGINT, before)
