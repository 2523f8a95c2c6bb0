"""Time by the file server's clock, which dates files the same way for all machines."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

FRESH_S = 60.0
"""Seconds for which a measured difference between two clocks is used."""

STEP_S = 1.0
"""Our clock was set if it differs from the monotonic clock by more than so many seconds; then the
difference is measured anew."""

_ahead: dict[int, tuple[float, float, float]] = {}
"""By device: seconds by which its server's clock is ahead of ours, and when that was measured, by
the monotonic clock and by ours."""


def now(folder: Path) -> float:
    """Seconds since 1970 by the clock that dates files in `folder`; by this machine's clock if no
    file can be made there.

    Raises:
        OSError: there is no such folder.
    """
    device = folder.stat().st_dev
    known = _ahead.get(device)
    if known is not None:
        since = time.monotonic() - known[1]
        if since > FRESH_S or abs(time.time() - known[2] - since) > STEP_S:
            known = None
    if known is None:
        known = _ahead[device] = (_difference(folder), time.monotonic(), time.time())
    return time.time() + known[0]


def _difference(folder: Path) -> float:
    """The smallest offset that explains a new file's date; file systems may round to a second."""
    probe = folder / f".clock.{secrets.token_hex(4)}"
    before = time.time()
    try:
        try:
            probe.touch(exist_ok=False)
            dated = probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)
    except OSError:
        return 0.0
    return max(0.0, dated - time.time() - 1) + min(0.0, dated - before + 1)
