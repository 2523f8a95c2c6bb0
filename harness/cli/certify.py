"""`moco-harness certify`: tests that only the user's own nodes can run."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from harness.app.planning import writable
from harness.cli import show
from harness.cli.run import confirm
from harness.errors import HarnessError
from harness.launch.selected_launcher import AUTO, chosen, opened, unusable
from harness.site import Site
from harness.store.certificate import Check

_STYLE = {"passed": "green", "failed": "red", "skipped": "yellow"}


def certify_command(site: Site, *, ask: bool) -> int:
    """Run all tests, write the certificate, print it; returns 1 if something failed, else 0.

    Raises:
        HarnessError: it was not confirmed, or the run root cannot be written.
    """
    show.line("loading PyTorch ...")
    from harness.certify import papers, run
    from harness.store.edition import edition

    on = chosen(AUTO, site)
    if site.backend is not None and on.kind != site.backend.kind:
        own = chosen(site.backend.kind, site)
        raise HarnessError(f"the site has a {own.kind} section, but {unusable(own)}")
    testbed = opened(on, site).testbed()
    show.line(f"edition {edition('pretrain', 'moco')}, on {testbed.words}")
    show.line(f"run folders: {run.work_folder(site.runs)}")
    found = papers.available_weights(testbed, site)
    if ask:
        parts = ["a few minutes of checks"]
        parts += (
            [] if papers.why_no_demo(testbed, site) else ["the first epochs of the CIFAR-10 demo"]
        )
        parts += [] if isinstance(found, str) else [f"{len(found)} linear probes on ImageNet"]
        if not confirm(f"{' and '.join(parts)}, on {testbed.words}"):
            return 0
    writable(site.runs)
    shown: list[Check] = []

    def print_check(check: Check) -> None:
        shown.append(check)
        if not show.console.is_terminal:
            show.line(f"{check.outcome}  {check.name}: {check.says}")
        else:
            show.line(f"{check.outcome}: {check.name}", _STYLE[check.outcome])

    made, path = run.certify(testbed, site, print_check)
    if show.console.is_terminal:
        show.console.print(_table(shown))
    show.line(f"certificate: {path}")
    return 1 if any(check.outcome == "failed" for check in made.checks) else 0


def _table(checks: list[Check]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("check", "", "observed"):
        table.add_column(heading)
    for check in checks:
        outcome = f"[{_STYLE[check.outcome]}]{check.outcome}[/]"
        table.add_row(escape(check.name), outcome, escape(check.says))
    return table
