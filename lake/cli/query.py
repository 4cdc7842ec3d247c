"""sql: a question to the lake, and its answer as a table or a file."""

from __future__ import annotations

import os
import re
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from lake.cli.answer_rows import rows_of
from lake.cli.arguments import HERE, Place
from lake.cli.output import Digits, Row, counted, print_rows
from lake.errors import InvalidRequest, StorageError

if TYPE_CHECKING:
    import pyarrow as pa

# What a screen holds; --format csv prints all rows.
_ROWS_SHOWN = 40
# Because of the dash for stdin, an option that does not exist arrives as the statement. A
# comment of SQL has a blank after its dashes or more lines after it.
_OPTION = re.compile(r"--?[A-Za-z][\w-]*(=.*)?")
Format = Literal["table", "csv", "json", "parquet"]


def sql(
    statement: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    *,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"])] = None,
    param: Annotated[list[str] | None, Parameter(name=["--param"])] = None,
    format_: Annotated[Format | None, Parameter(name=["--format"])] = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    locked: bool = False,
    timeout: Annotated[float | None, Parameter(name=["--timeout"])] = None,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Answer SQL over the lake. It cannot write the lake.

    For example:

      lake sql "select instrument, count(*) from ohlcv_1h group by all"

      lake sql "from ohlcv('BTCUSDT.BINANCE', '1m', since := '2024-01-01')" --format csv

      lake sql -f report.sql --param day=2024-01-01 --output report.parquet

    Args:
        statement: DuckDB SQL; a dash reads it from stdin.
        file: Read the SQL from this file.
        param: A value for $name in the SQL: name=value; may be given several times.
        format_: table (default), csv, json or parquet; else the ending of --output says it.
        output: Write the answer to this file.
        locked: For the SQL of strangers: one SELECT, no files but the lake's, bounded memory and
            time.
        timeout: Stop the query after so many seconds (--locked: 60 where nothing is said).
        json: The same as --format json.
    """
    text = _text(statement, file)
    chosen = _format("json" if json else format_, output)
    values = _values(param or [])
    root = place.root()
    if output is not None:
        _require_outside(output, root)
    if timeout is not None and not timeout > 0:
        raise InvalidRequest(f"--timeout {timeout:g} is not a number of seconds above 0.")
    answer = _answer(root, text, values, locked=locked, timeout=timeout)
    if output is None:
        _print(answer, chosen)
    else:
        try:
            _write(answer, chosen, output)
        except OSError as error:
            raise StorageError(f"The answer cannot be written to {output}: {error}.") from error
        print(f"{counted(answer.num_rows, 'row')} written to {output.absolute()}", file=sys.stderr)
    return 0


def _text(statement: str | None, file: Path | None) -> str:
    if (statement is None) == (file is None):
        raise InvalidRequest('Give the SQL either as text or with -f FILE: lake sql "select 1".')
    if file is not None:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(
                f"{file} cannot be read: {getattr(error, 'strerror', None) or error}."
            ) from error
    assert statement is not None
    text = sys.stdin.read() if statement == "-" else statement
    if _OPTION.fullmatch(text):
        raise InvalidRequest(f"Unknown option: {text}. `lake sql --help` says what there is.")
    if not text.strip():
        raise InvalidRequest('The SQL is empty. Write for example: lake sql "from ohlcv_1h".')
    return text


def _format(named: Format | None, output: Path | None) -> Format:
    endings: dict[str, Format] = {".csv": "csv", ".json": "json", ".parquet": "parquet"}
    if output is None:
        if named == "parquet":
            raise InvalidRequest(
                "Parquet cannot be printed. Say where to: --output answer.parquet."
            )
        return named or "table"
    found = named or endings.get(output.suffix.lower())
    if found is None or found == "table":
        raise InvalidRequest(
            f"{output} does not say its format. End it in .csv, .json or .parquet, "
            "or give --format."
        )
    return found


def _values(texts: list[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidRequest(f"--param {text!r} is not name=value, for example day=2024-01-01.")
        values[name] = value
    return values


def _require_outside(output: Path, root: Path) -> None:
    """Refuse to write an answer over the lake's own files, by whatever name."""
    if output.resolve().is_relative_to(root.resolve()):
        raise InvalidRequest(
            f"{output} lies in the lake at {root.absolute()}, which answers must not overwrite. "
            "Name a file outside of it."
        )


def _answer(
    root: Path, text: str, values: dict[str, object], *, locked: bool, timeout: float | None
) -> pa.Table:
    """The answer. This process must not open a living lake's catalog in any other way."""
    from lake.storage.files import is_frozen
    from lake.warehouse import Trust, Warehouse

    trust = Trust.LOCKED if locked else Trust.OWN
    # For people: without the place in our code that gave it.
    with warnings.catch_warnings(record=True) as told, ExitStack() as opened:
        catalog = None
        if is_frozen(root):
            from lake.storage.lake import Storage

            # Its catalog may be of an older version: what is attached is a copy that is not.
            catalog = opened.enter_context(Storage.open(root)).snapshot
        warehouse = opened.enter_context(
            Warehouse(root, catalog=catalog, trust=trust, timeout_s=timeout)
        )
        answer = warehouse.arrow(text, values or None)
    for warning in told:
        print(f"lake sql: {warning.message}", file=sys.stderr)
    return answer


def _print(answer: pa.Table, chosen: Format) -> None:
    if chosen == "csv":
        from lake.cli.csv_answer import write_csv

        write_csv(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    elif chosen == "json":
        print_rows(rows_of(answer), as_json=True, empty="")
    else:
        rows: list[Row] = rows_of(answer.slice(0, _ROWS_SHOWN))
        print_rows(rows, as_json=False, empty="no rows", digits=Digits.PLAIN)
        if answer.num_rows > _ROWS_SHOWN:
            more = answer.num_rows - _ROWS_SHOWN
            print(f"... and {more:,} rows more; --format csv prints all", file=sys.stderr)


def _write(answer: pa.Table, chosen: Format, output: Path) -> None:
    """Write the whole answer or nothing: what was there stays until the new file is complete."""
    if output.exists() and not output.is_file():
        _write_to(answer, chosen, output)  # a device or a pipe cannot be replaced
        return
    # Never into the file that is there: that may be a hard link to one of the lake.
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        _write_to(answer, chosen, temporary)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)


def _write_to(answer: pa.Table, chosen: Format, path: Path) -> None:
    if chosen == "csv":
        from lake.cli.csv_answer import write_csv

        write_csv(answer, path)
    elif chosen == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            pq.write_table(answer, path, compression="zstd")
        except pa.ArrowException as error:
            raise InvalidRequest(
                f"Parquet cannot hold this answer: {error}. Cast the column in the SQL, for "
                "example to varchar."
            ) from error
    else:
        with path.open("w", encoding="utf-8") as file:
            print_rows(rows_of(answer), as_json=True, empty="", out=file)
