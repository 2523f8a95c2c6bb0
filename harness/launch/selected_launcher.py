"""Select the launcher for stages, and open it."""

from __future__ import annotations

from harness.errors import HarnessError
from harness.launch.protocol import Attached, Detached
from harness.launch.protocol import Launcher as Opened
from harness.site import Site
from harness.spec.declarations import Launcher
from harness.spec.named_code import call
from harness.spec.registry import DEFAULT_LAUNCHER, launchers

AUTO = "auto"
"""The site file's launcher if it can be used on this machine; else this process."""


def chosen(on: str, site: Site) -> Launcher:
    """The launcher for `run --on ON`.

    Raises:
        HarnessError: no launcher has this name.
    """
    known = launchers()
    if on == AUTO:
        own = known[site.backend.kind] if site.backend is not None else None
        return own if own is not None and not unusable(own) else known[DEFAULT_LAUNCHER]
    if on not in known:
        raise HarnessError(f"no launcher {on}; use one of {', '.join((AUTO, *known))}")
    return known[on]


def unusable(declared: Launcher) -> str:
    """Why the launcher cannot be used on this machine; "" if it can."""
    return str(call(declared.unusable)) if declared.unusable is not None else ""


def opened(declared: Launcher, site: Site) -> Opened:
    """Open the launcher for the site.

    Raises:
        HarnessError: the site file lacks settings that it needs.
    """
    found: Opened = call(declared.opener, site)
    return found


def attached(declared: Launcher, site: Site) -> Attached:
    """`opened` for a launcher that is declared as attached."""
    found: Attached = call(declared.opener, site)
    return found


def detached(declared: Launcher, site: Site) -> Detached:
    """`opened` for a launcher that is declared as detached."""
    found: Detached = call(declared.opener, site)
    return found
