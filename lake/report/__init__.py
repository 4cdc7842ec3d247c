"""The report: one HTML file about a lake's quality, for people. Joins storage and warehouse."""

from __future__ import annotations

from lake.report.facts import gather
from lake.report.page import make_page

__all__ = ["gather", "make_page"]
