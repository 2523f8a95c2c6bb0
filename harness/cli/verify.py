"""`moco-harness verify`: are published reports what was published, and what their records give?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.app.verifying import Verified, changed_overview, verify
from harness.cli import show
from harness.errors import StoreError
from harness.report.index import published_reports

DIFFERS = 6
"""The exit code of `check` for what is not as wanted."""
NAMED = 10
"""Names in one line; of more, the rest are counted."""


def verify_command(reports: Sequence[Path], to: Path) -> int:
    """Verify the reports, or all in the folder `to`; returns the exit code.

    Raises:
        HarnessError: as `verify`; or nothing is published.
    """
    folders = list(reports) or published_reports(to)
    if not folders:
        raise StoreError(f"{to}: contains no published report; name its folder")
    found = [verify(folder) for folder in folders]
    for each in found:
        _show(each)
    changed = [] if reports else changed_overview(to)
    for name in changed:
        show.line(f"{to / name}: not what the reports give; `publish` writes it", "bold red")
    return 0 if all(each.holds for each in found) and not changed else DIFFERS


def _show(found: Verified) -> None:
    files = found.files
    for what, names in (
        ("changed since it was published", files.changed),
        ("missing", files.missing),
        ("not published with it", files.unlisted),
        ("not what the records give", found.differing),
    ):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            listed = ", ".join(names[:NAMED]) + more
            show.line(f"{found.folder}: {what}: {listed}", "bold red")
    if found.preregistered:
        show.line(f"{found.folder}: what was committed before: {found.preregistered}", "bold red")
    whole = found.runs == found.planned
    of = "" if whole else f"{found.runs} of "
    runs = show.count(found.planned, "run" if whole else "planned run")
    said = f"{of}{runs}, {show.count(found.claims, 'claim')}; "
    said += f"{show.count(files.same, 'file')} with the digest of the manifest"
    said += f" (all: {files.digest[:16]}); "
    said += f"{show.count(found.made, 'file')} of the report made again, equal"
    if found.preregistered == "":
        said += "; the commit of its plan is in this history, as recorded"
    if not found.drawings:
        said += ", drawings not compared (another version of matplotlib)"
    show.line(f"{found.folder}: {'verified' if found.holds else 'DIFFERS'}: {said}")
