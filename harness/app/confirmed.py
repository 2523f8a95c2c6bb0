"""Long plans that the user has agreed to, so that going on with one asks nothing again.

RUNS/.confirmed has a line of JSON for each. It may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import os

from harness.launch.protocol import Amount
from harness.plan import Plan
from harness.recipe.identity import digest
from harness.site import Site

FILE = ".confirmed"
MUCH = 1.5
"""By how much an estimate may grow before the question is asked again."""


def is_confirmed(plan: Plan, site: Site, amount: Amount) -> bool:
    """Whether the user has agreed to the same stages, on the same kind of machine, for about as
    much. Stages that are run once more are new work."""
    if any(stage.action == "again" for stage in plan.todo):
        return False
    try:
        lines = (site.runs / FILE).read_text(errors="replace").splitlines()
    except OSError:
        return False
    for line in lines:
        # torn, as two processes wrote at the same time, or something else
        with contextlib.suppress(ValueError, TypeError, KeyError):
            said = json.loads(line)
            if said["plan"] == _key(plan, amount):
                hours = said["hours"]
                unknown = hours is None or amount.hours is None
                if hours == amount.hours or (not unknown and amount.hours <= MUCH * hours):
                    return True
    return False


def note_confirmed(plan: Plan, site: Site, amount: Amount) -> None:
    """Note that the user has agreed; a run root that cannot be written is left."""
    line = json.dumps({"plan": _key(plan, amount), "hours": amount.hours}) + "\n"
    with contextlib.suppress(OSError):
        site.runs.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(site.runs / FILE, flags, 0o666)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


def _key(plan: Plan, amount: Amount) -> str:
    return digest([amount.unit, plan.on.device, sorted(stage.id for stage in plan.stages)])
