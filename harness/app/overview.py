"""What a run root holds, and what became of its jobs."""

from __future__ import annotations

import gc

from harness.command import Commands
from harness.inputs import Inputs
from harness.launch.truth import Look, Truth
from harness.site import Site, load_site


def status(site: Site | None = None, *, truth: Truth | None = None) -> Look:
    """Every stage under the run root: its state, node, job and log, and what to do about it.

    Args:
        site: the machine; None: as the user's site file says.
        truth: what has looked at this run root before, so that little is read twice; see `watch`.

    Raises:
        StoreError: the run root cannot be read.
    """
    truth = truth or watch(site or load_site())
    enabled = gc.isenabled()
    gc.disable()  # thousands of records, none cyclic: to look for that takes a tenth of the time
    try:
        return truth.look()
    finally:
        if enabled:
            gc.enable()


def watch(site: Site, inputs: Inputs | None = None, commands: Commands | None = None) -> Truth:
    """What `status` looks at the run root with again and again.

    Args:
        inputs: looks at data and weights; None: a new one.
        commands: makes the commands that remedies name; None: for the site's run root and file.
    """
    inputs = inputs or Inputs(site.data, site.runs)
    return Truth(site.runs, inputs, commands or Commands(site.runs, site.file))
