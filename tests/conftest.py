"""The zone of the whole test run: not UTC, so that a local time anywhere shows at once."""

from __future__ import annotations

import os
import time

os.environ["TZ"] = "America/New_York"
time.tzset()
