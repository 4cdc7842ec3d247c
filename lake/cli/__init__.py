"""The commands. Joins everything else, and starts at once: what is heavy is imported where used.

Exit codes: 0 done, 1 failed, 2 wrong request or configuration, 3 a check found violations,
4 partly done, 130 interrupted.
"""

from __future__ import annotations

import errno
import inspect
import re
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from lake import __version__
from lake.cli import (
    archive,
    box,
    check,
    derive,
    doctor,
    export,
    fetch,
    holdings,
    imports,
    jobs,
    migrate,
    quality_report,
    query,
    retention,
    snapshots,
    streams,
    update,
    venues,
)
from lake.cli.demo import demo
from lake.cli.interrupt import INTERRUPTED
from lake.cli.output import print_error
from lake.cli.shell import shell
from lake.errors import InvalidRequest, LakeError, MigrationError, ReadOnlyLake, UnknownJob

__all__ = ["app", "main", "run"]

FAILED, REFUSED = 1, 2

app = App(
    name="lake",
    version=__version__,
    help="A data lake for crypto market history: exchanges in, Parquet at rest, SQL out.",
    help_epilogue="Times are UTC, ranges half-open. `lake COMMAND --help` shows examples.",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
    # Without this every flag would also get a --no-flag, and every list an --empty-list.
    default_parameter=Parameter(
        negative="",
        # That a flag is off and a list empty where it is not given, everybody knows.
        show_default=lambda value: None if value is False or value == () else value,
    ),
)
# The usage lines that cyclopts makes say ARGS for what may be given several times.
app.command(
    fetch.backfill,
    alias="download-data",
    usage="Usage: lake backfill VENUE INSTRUMENT... [OPTIONS]",
)
app.command(fetch.plan, usage="Usage: lake plan VENUE INSTRUMENT... [OPTIONS]")
app.command(update.update)
app.command(imports.import_, name="import", usage="Usage: lake import PATH... [OPTIONS]")
app.command(archive.app)
app.command(jobs.app)
app.command(holdings.status, alias="list-data")
app.command(holdings.gaps)
app.command(check.check, usage="Usage: lake check [NAME...] [OPTIONS]")
app.command(quality_report.report)
app.command(derive.trades_to_ohlcv, usage="Usage: lake trades-to-ohlcv SERIES... [OPTIONS]")
app.command(venues.sources, usage="Usage: lake sources [VENUE...] [OPTIONS]")
app.command(venues.instruments, usage="Usage: lake instruments VENUE [PATTERN...] [OPTIONS]")
app.command(query.sql, usage="Usage: lake sql STATEMENT|- [OPTIONS]")
app.command(shell, usage="Usage: lake shell [OPTIONS] [-- DUCKDB-OPTIONS]")
app.command(export.export, usage="Usage: lake export SERIES... [OPTIONS]")
app.command(retention.clean)
app.command(retention.drop, usage="Usage: lake drop SERIES... [OPTIONS]")
app.command(snapshots.app)
app.command(migrate.migrate)
app.command(box.serve)
app.command(box.generate)
app.command(doctor.doctor)
app.command(demo)


def _reflow(known: App) -> None:
    """Have the paragraphs of every help text filled to the terminal's width, not to the source's.

    Lines that stand further in are examples, and stay as they are.
    """
    for name in known:
        if name.startswith("-"):
            continue
        command = known[name]
        text, _, _ = inspect.cleandoc(command.help).partition("\nArgs:\n")
        command.help = re.sub(r"(?<=\S)\n(?=\S)", " ", text.strip())
        _reflow(command)


_reflow(app)


def run() -> None:
    """What the scripts `lake` and `mdlake` call: the command line, and the end of the process."""
    try:
        main()
    except SystemExit as ended:
        if not isinstance(ended.code, int):
            raise
        streams.leave(ended.code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Raises:
        SystemExit: Always.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not streams.hold():
        sys.exit(REFUSED)
    try:
        code = _run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) has seen enough. What is buffered must not be tried again.
        streams.silence_stdout()
        code = FAILED
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        streams.silence_stdout()
        print_error("lake", f"the answer could not be written: {error.strerror}.")
        code = FAILED
    sys.exit(code)


def _run(arguments: Sequence[str]) -> int:
    asked = _asked(arguments)
    try:
        result = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except UnusedCliTokensError as error:
        extra = " ".join(error.unused_tokens or ())
        known = _subcommands(asked)
        has = f"It has {', '.join(known)}" if known else "It takes no such word"
        print_error(asked, f"{extra!r} is not understood. {has}; see `{asked} --help`.")
        return REFUSED
    except CycloptsError as error:
        print_error(asked, f"{_one_line(str(error))} `{asked} --help` says what there is.")
        return REFUSED
    except LakeError as error:
        print_error(asked, str(error))
        return exit_code(error)
    except KeyboardInterrupt:
        print_error(asked, "interrupted; what was stored stays. Run it again to continue.")
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def exit_code(error: LakeError) -> int:
    """2 where the request or the set-up must change first, 1 where something failed."""
    refused = (InvalidRequest, UnknownJob, MigrationError, ReadOnlyLake)
    return REFUSED if isinstance(error, refused) else FAILED


def _asked(arguments: Sequence[str]) -> str:
    """The command's name: ``lake jobs show``."""
    names = ["lake"]
    known: App = app
    for word in arguments:
        if word.startswith("-") or word not in known:
            break
        names.append(word)
        known = known[word]
    return " ".join(names)


def _subcommands(asked: str) -> list[str]:
    """The commands below ``lake jobs``."""
    known: App = app
    for word in asked.split()[1:]:
        known = known[word]
    return [name for name in known if not name.startswith("-")]


def _one_line(text: str) -> str:
    return " ".join(text.split())
