"""Packs what the page's script draws: JSON of short names, compressed, as text. Pure."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import datetime
from typing import Any

from lake.domain.timeframe import Grid
from lake.domain.times import EPOCH, to_us
from lake.report.facts import Facts, Row, Surroundings
from lake.report.reasons import MEANING

BAND_STEPS = 60
"""A longer gap is drawn in so many steps, each of which stands for several candles."""
_SECOND_US = 1_000_000


def packed(facts: Facts) -> str:
    """The page's data: gzip in base64, which holds no character that means anything to HTML."""
    text = json.dumps(payload(facts), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    # No time of making inside: the same lake gives the same page.
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


def payload(facts: Facts) -> dict[str, Any]:
    """What ``assets/data.js`` reads; its comment says what the lists hold."""
    reasons = [(reason.value, kind.value, means) for reason, (kind, means) in MEANING.items()]
    return {
        "series": [_series(facts, row) for row in facts.held],
        "cells": _cells(facts),
        "reasons": reasons,
        **_gaps(facts.listed, [name for name, _, _ in reasons]),
        "charts": [_chart(facts, each) for each in facts.charts],
        "violations": _violations(facts),
    }


def seconds(moment: datetime | None) -> int | None:
    """Seconds since 1970, cut off."""
    return None if moment is None else to_us(moment) // _SECOND_US


def _series(facts: Facts, row: Row) -> list[Any]:
    series = facts.series[row["number"]]
    per_row = facts.csv_bytes_per_row.get(series.data_type.value, 0.0)
    return [
        series.instrument_id.symbol,
        series.venue.name,
        "" if series.timeframe is None else str(series.timeframe),
        series.data_type.value,
        row["rows"],
        row["missing"],
        row["bytes"],
        round(row["rows"] * per_row),
        row["files"],
        seconds(row["first_ts"]),
        seconds(row["last_ts"]),
        row["gaps"],
    ]


def _cells(facts: Facts) -> dict[str, Any]:
    """Per series its first month's place and five numbers for each month from there on."""
    if not facts.months:
        return {"first": 0, "months": 0, "of": [[0, []] for _ in facts.series]}
    first = min(row["month"] for row in facts.months)
    last = max(row["month"] for row in facts.months)
    cells: list[list[Any]] = [[0, []] for _ in facts.series]
    for row in facts.months:
        cell = cells[row["number"]]
        if not cell[1]:
            cell[0] = row["month"] - first
        # Of calendar months a month without a candle cannot be; of a late start it may.
        lacking = row["month"] - first - cell[0] - len(cell[1]) // 5
        cell[1] += [0] * (5 * lacking)
        names = ("expected", "attention", "explained", "not_expected", "gaps")
        cell[1] += [int(row[name]) for name in names]
    return {"first": first, "months": last - first + 1, "of": cells}


def _gaps(listed: list[Row], reasons: list[str]) -> dict[str, Any]:
    """Column by column, which packs far better than row by row; texts once each."""
    texts = {text: place for place, text in enumerate(dict.fromkeys(r["evidence"] for r in listed))}
    return {
        "evidence": list(texts),
        "gaps": {
            "series": [row["number"] for row in listed],
            "start": [seconds(row["gap_start"]) for row in listed],
            "end": [seconds(row["gap_end"]) for row in listed],
            "missing": [row["missing_count"] for row in listed],
            "reason": [reasons.index(row["reason"]) for row in listed],
            "evidence": [texts[row["evidence"]] for row in listed],
        },
    }


def _chart(facts: Facts, around: Surroundings) -> dict[str, Any]:
    gap = facts.listed[around.gap]
    grid = facts.series[gap["number"]].grid
    assert grid is not None
    return {
        "gap": around.gap,
        "band": _band(grid, gap),
        "candles": [[row[0], *(_short(value) for value in row[1:])] for row in around.candles],
    }


def _band(grid: Grid, gap: Row) -> list[int]:
    """Where the missing candles would open, in seconds; of many, some at even distances."""
    count = gap["missing_count"]
    steps = min(count, BAND_STEPS)
    opens = (grid.advance(gap["gap_start"], number * count // steps) for number in range(steps))
    return [(to_us(each) - to_us(EPOCH)) // _SECOND_US for each in opens]


def _short(value: float) -> float:
    """Ten digits: more than a chart can show."""
    return float(f"{value:.10g}")


def _violations(facts: Facts) -> dict[str, list[list[Any]]]:
    """By run: what it found, as cells of a table."""
    by_run: dict[str, list[list[Any]]] = {}
    for row in facts.results:
        by_run.setdefault(row["run_id"], []).append(
            [
                row["severity"],
                row["data_type"],
                row["venue"],
                row["instrument"],
                row["timeframe"],
                seconds(row["start_time"]),
                seconds(row["end_time"]),
                row["rows"],
                row["detail"],
            ]
        )
    return by_run
