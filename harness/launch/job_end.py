"""What a job prints at its end, for every launcher, and its exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.redact import redact
from harness.spec.declarations import load

if TYPE_CHECKING:
    from harness.site import Site

REPORT = "harness.app.reporting:report"
"""The function that writes a report, by name: launchers import nothing of harness.app."""
MIRROR_S = 30.0
"""Seconds that trackers may take for the report; `sync` uploads what is missing."""


def report(recipe: str, sets: Sequence[str], site: Site) -> str:
    """Write the report of the results so far, print its path, and mirror it; returns its page.

    Raises:
        HarnessError: the recipe is wrong, or the disk cannot be written.
    """
    from harness.track.follow import start_report

    page = Path(load(REPORT)(recipe, site, sets=sets).page)
    print(f"report: {page}", flush=True)
    start_report(site.runs, page.parent.name).wait(MIRROR_S)  # the job's end kills them
    return str(page)


def run_or_exit(work: Callable[[], str], late: Callable[[], object] = lambda: None) -> str:
    """Run `work` and return its result; a user's mistake ends the process with a message.

    Args:
        late: called before an error ends the process.
    """
    try:
        return work()
    except HarnessError as error:
        print(redact(f"error: {error}"), file=sys.stderr, flush=True)
        code = error.exit_code
    except Exception:
        late()
        raise
    late()
    raise SystemExit(code)
