"""Joins sources and storage: plans what is missing, fetches it, commits it."""

from __future__ import annotations

from lake.ingestion.backfill import Backfill, Report
from lake.ingestion.engine import DataIngestionEngine
from lake.ingestion.planning import Plan, Request, SeriesPlan
from lake.ingestion.recording import Recording, RecordingPlan, RecordReport
from lake.ingestion.update import plan_update, update
from lake.sources.archive.binance_tree import Choice

__all__ = [
    "Backfill",
    "Choice",
    "DataIngestionEngine",
    "Plan",
    "RecordReport",
    "Recording",
    "RecordingPlan",
    "Report",
    "Request",
    "SeriesPlan",
    "plan_update",
    "update",
]
