"""How many cases are tried: 1,400 over all files in the ordinary suite, more on demand.

MOCO_HARNESS_FUZZ=20000 tries so many, and others at each call; without it the cases are the same
each time, so that what CI says depends on the code alone.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

WHOLE = 2000
"""The sum of all shares."""
USUAL = 1400
ASKED = os.environ.get("MOCO_HARNESS_FUZZ", "")


def cases(share: int) -> settings:
    """Settings of a test that tries `share` of the usual cases."""
    total = int(ASKED) if ASKED else USUAL
    return settings(
        max_examples=max(1, round(share * total / WHOLE)),
        derandomize=not ASKED,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
