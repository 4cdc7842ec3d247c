"""The parts of the page that need no script: head, reasons, checks, jobs, storage. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lake.domain.gaps import GapReason
from lake.domain.identifiers import DataType
from lake.report.facts import CANDLES_EACH_SIDE, GAPS_PER_MONTH, MONTHS_MOST, Facts, Row
from lake.report.markup import Html, counted, escaped, percent, prose, shown, size, table
from lake.report.reasons import MEANING, Kind
from lake.report.trend import sparkline

_STATUS = {"passed": "passed", "violated": "violated", "failed": "could not run"}


def head(facts: Facts) -> str:
    """Which lake, and when it was looked at."""
    origin = "" if facts.origin == "venue" else f" of {facts.origin} data"
    part = " (some of its series)" if facts.narrowed else ""
    return (
        f"<h1>{escaped(facts.name)}</h1>"
        f'<p class="about">Quality of a lake{escaped(origin)}{part}, as of '
        f"{shown(facts.made_at)} UTC. Lake <code>{escaped(facts.lake_id)}</code>.</p>"
    )


def tiles(facts: Facts) -> str:
    """The numbers that sum the lake up."""
    open_gaps = sum(row["gaps"] for row in facts.reasons if _kind(row) is Kind.ATTENTION)
    last = [row for row in facts.runs if row["is_last"]]
    bad = [row for row in last if row["status"] != "passed"]
    ratio, missing = completeness(facts)
    numbers = [
        ("Completeness", percent(ratio), f"{missing:,} candles missing", ratio is not None),
        ("Series", f"{len(facts.series):,}", _types(facts), True),
        ("Rows", f"{sum(row['rows'] for row in facts.held):,}", _span(facts), True),
        ("Size", size(sum(row["bytes"] for row in facts.held)), _saving(facts), True),
        ("Gaps to act on", f"{open_gaps:,}", f"of {counted(facts.gaps, 'gap')}", True),
        (
            "Checks",
            f"{len(bad):,} failed" if last else "never run",
            f"of {len(last):,}" if last else "run: lake check",
            True,
        ),
    ]
    alarms = {"Gaps to act on": open_gaps > 0, "Checks": bool(bad)}
    return "".join(
        f'<div class="tile{" alarm" if alarms.get(name) else ""}"><dt>{name}</dt>'
        f"<dd><b>{escaped(value)}</b> <small>{escaped(more if told else '')}</small></dd></div>"
        for name, value, more, told in numbers
    )


def completeness(facts: Facts) -> tuple[float | None, int]:
    """Of all candles together, and how many are missing; as the view ``quality`` counts them."""
    candles = [row for row in facts.held if facts.series[row["number"]].data_type is DataType.OHLCV]
    rows, missing = sum(row["rows"] for row in candles), sum(row["missing"] for row in candles)
    return (rows / (rows + missing) if rows + missing else None), missing


def reasons(facts: Facts) -> str:
    """How many gaps there are of each reason."""
    if not facts.reasons:
        return "<p>No gaps: every row of the ranges asked for is held.</p>"
    order = list(Kind)
    rows = sorted(facts.reasons, key=lambda row: order.index(_kind(row)))
    return table(
        "Gaps by reason",
        ["", "", "meaning", "series", "gaps", "rows missing"],
        [
            [
                Html(f"<code>{escaped(row['reason'])}</code>"),
                Html(f'<span class="kind {_kind(row).name.lower()}">{_kind(row).value}</span>'),
                MEANING[GapReason(row["reason"])][1],
                row["series"],
                row["gaps"],
                row["missing"],
            ]
            for row in rows
        ],
        wide=["meaning"],
    )


def cells_note(facts: Facts) -> str:
    if not facts.months_left_out:
        return ""
    return f"<p>Shown are the newest {MONTHS_MOST} months; older ones are left out.</p>"


def gaps_note(facts: Facts) -> str:
    """What the page does not carry."""
    said = []
    if facts.charts:
        said.append(
            f"This file carries up to {CANDLES_EACH_SIDE} candles on both sides of "
            f"{counted(len(facts.charts), 'gap')}: the longest of those to act on, then the "
            "longest of those explained, few of each series."
        )
    if len(facts.listed) < facts.gaps:
        said.append(
            f"Of {facts.gaps:,} gaps {len(facts.listed):,} are listed here: the {GAPS_PER_MONTH} "
            "longest of each series and month at most. `lake gaps` lists all."
        )
    return f"<p>{prose(' '.join(said))}</p>" if said else ""


def checks(facts: Facts) -> str:
    """The last run of each check, and how it went over time."""
    if not facts.runs:
        return (
            '<p class="empty">No check was ever run on this lake. Run <code>lake check</code>, '
            "then make this report again.</p>"
        )
    by_name: dict[str, list[Row]] = {}
    for row in facts.runs:
        by_name.setdefault(row["name"], []).append(row)
    note = "<p>Checks may be of series that this page leaves out.</p>" if facts.narrowed else ""
    return note + "".join(_check(name, runs) for name, runs in by_name.items())


def _check(name: str, runs: list[Row]) -> str:
    last = runs[-1]
    error = f'<p class="error">{escaped(last["error"])}</p>' if last["error"] else ""
    scope = "" if last["scope"] == "{}" else f", over <code>{escaped(last['scope'])}</code>"
    found = (
        f'<div class="violations" data-run="{escaped(last["run_id"])}" '
        f'data-of="{last["violations"]}"></div>'
        if last["violations"]
        else ""
    )
    return (
        f'<details class="check {_level(last)}"><summary>'
        f'<span class="mark">{_STATUS[last["status"]]}</span>'
        f'<span class="name">{escaped(name)}</span>'
        f'<span class="found">{escaped(_found(last))}</span>{sparkline(runs)}'
        f'<span class="when">{shown(last["started_at"])}</span></summary>'
        f"<p>{escaped(last['severity'])}, version {last['version']}, took "
        f"{last['seconds']:.1f} s, {counted(len(runs), 'run')} shown{scope}.</p>{error}{found}"
        "</details>"
    )


def _level(run: Row) -> str:
    """How bad it is: the worst that was found, whatever the check's own severity."""
    if run["status"] != "violated":
        return str(run["status"])
    if run["errors"] or not run["warnings"]:
        return "error" if run["errors"] else str(run["severity"])
    return "warning"


def _found(run: Row) -> str:
    """How many of each severity, where all of them are kept."""
    if run["status"] == "failed":
        return ""
    told = {"error": run["errors"], "warning": run["warnings"]}
    said = [counted(count, name) for name, count in told.items() if count]
    if run["infos"]:
        said.append(f"{run['infos']:,} for information")
    if said and sum(told.values()) + run["infos"] == run["violations"]:
        return ", ".join(said)
    return counted(run["violations"], "violation")


def jobs(facts: Facts) -> str:
    """What runs, what failed with its error, what was done last."""
    if not facts.jobs:
        return '<p class="empty">No job was ever run for these series.</p>'
    states = {row["status"]: row["of_state"] for row in facts.jobs}
    said = ", ".join(f"{count:,} {state}" for state, count in states.items())
    listed = Counter(row["status"] for row in facts.jobs)
    cut = [
        f"{listed[name]:,} of {count:,} {name}"
        for name, count in states.items()
        if listed[name] < count
    ]
    left_out = f" Listed are the newest: {', '.join(cut)}; `lake jobs` has all." if cut else ""
    return f"<p>{escaped(said)}.{prose(left_out)}</p>" + table(
        "Jobs",
        ["", "kind", "series", "from", "to", "rows", "when", "error"],
        [
            [
                Html(f'<span class="state {escaped(row["status"])}">{_state(row)}</span>'),
                row["kind"],
                _name(row),
                row["start_time"],
                row["end_time"],
                row["rows"],
                row["moment"],
                row["error"] or "",
            ]
            for row in facts.jobs
        ],
        wide=["error"],
    )


def storage(facts: Facts) -> str:
    """What each data type takes; the script adds each series."""
    rows = []
    for data_type in DataType:
        of_type = [row for row in facts.held if facts.series[row["number"]].data_type is data_type]
        if not of_type:
            continue
        count, taken = _sum(of_type, "rows"), _sum(of_type, "bytes")
        csv = count * facts.csv_bytes_per_row.get(data_type.value, 0.0)
        rows.append(
            [
                data_type.value,
                len(of_type),
                _sum(of_type, "files"),
                count,
                size(taken),
                taken / count if count else None,
                size(csv) if csv else None,
                percent(1 - taken / csv) if csv else None,
            ]
        )
    if not rows:
        return '<p class="empty">Nothing is held yet: <code>lake backfill --help</code>.</p>'
    names = ["type", "series", "files", "rows", "size", "bytes per row", "as CSV", "saved"]
    return table("Storage by data type", names, rows, right=names[4:])


def _kind(row: Row) -> Kind:
    return MEANING[GapReason(row["reason"])][0]


def _sum(rows: Iterable[Row], name: str) -> int:
    return sum(row[name] for row in rows)


def _types(facts: Facts) -> str:
    kinds = {each.data_type.value for each in facts.series}
    return ", ".join(sorted(kinds)) or "nothing held"


def _span(facts: Facts) -> str:
    firsts = [row["first_ts"] for row in facts.held if row["first_ts"]]
    lasts = [row["last_ts"] for row in facts.held if row["last_ts"]]
    return f"{min(firsts):%Y-%m} to {max(lasts):%Y-%m}" if firsts and lasts else ""


def _saving(facts: Facts) -> str:
    """How much smaller than CSV all of it is."""
    csv = sum(
        row["rows"] * facts.csv_bytes_per_row.get(facts.series[row["number"]].data_type.value, 0.0)
        for row in facts.held
    )
    return f"{percent(1 - _sum(facts.held, 'bytes') / csv)} less than CSV" if csv else ""


def _state(row: Row) -> str:
    share = f" {row['progress']:.0%}" if row["status"] == "running" else ""
    return escaped(row["status"] + share)


def _name(row: Row) -> str:
    what = row["timeframe"] or row["data_type"]
    return f"{row['instrument']}.{row['venue']} {what}"
