"""The page of a small lake, and a browser to look at pages with, where one is at hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.report.report_kit import make_small, page_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A browser of the system; playwright's own comes from a place that CI may not reach.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by many tests; none may change it."""
    return make_small(tmp_path_factory.mktemp("report") / "small")


@pytest.fixture(scope="session")
def small_page(small: Path) -> str:
    return page_of(small)


# Playwright keeps an event loop running in this thread: it must end with the module, or whatever
# runs asyncio after it in the same process fails.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium, or a skip that says what is lacking."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser on PATH: none of {', '.join(BROWSERS)}")
    with api.sync_playwright() as driver:
        # In containers root has no user namespaces to build the sandbox from.
        lone = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = driver.chromium.launch(executable_path=found, args=lone)
        yield opened
        opened.close()
