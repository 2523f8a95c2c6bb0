"""moco-harness: a reproduction harness for MoCo (Momentum Contrast) v1 and v2.

The commands of the command line, from Python (docs/examples/from_python.py is a whole script):

    import harness

    site = harness.load_site(runs=Path("runs"))    # the machine: data, runs, device, SLURM
    harness.app.plan("quickstart", site).todo      # what is missing of a recipe
    harness.app.run("quickstart", site)            # run it, and write the report

`harness.app` has a function for each of the commands that work on runs; its docstring lists them.
They print nothing, never exit, and raise `HarnessError`. Modules are imported only when they are
used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness import app
    from harness.errors import HarnessError
    from harness.site import Site, load_site

__version__ = "0.1.0"
__all__ = ["HarnessError", "Site", "__version__", "app", "load_site"]

_LIES_IN = {"HarnessError": "errors", "Site": "site", "load_site": "site"}


def __getattr__(name: str) -> Any:
    if name == "app":
        return importlib.import_module("harness.app")
    if name in _LIES_IN:
        return getattr(importlib.import_module(f"harness.{_LIES_IN[name]}"), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
