"""For the whole run: a zone that is not UTC, so that a local time anywhere shows at once.

And no deadline for hypothesis: the machine is shared, and speed is measured in benchmarks.
"""

from __future__ import annotations

import os
import time

from hypothesis import settings

os.environ["TZ"] = "America/New_York"
time.tzset()
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
