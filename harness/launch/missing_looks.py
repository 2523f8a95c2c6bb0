"""Keep what finished stages show, where the process that ran them ended before it had done so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.plan import Plan
from harness.site import Site
from harness.spec.registry import tasks
from harness.store.attempt import sweep
from harness.store.ledger import Entry
from harness.store.look import FILE

if TYPE_CHECKING:
    from harness.stage.reporter import Reporter


def lacks_look(entry: Entry) -> bool:
    """Whether the stage has finished, but shows nothing yet of what its task can show, and the
    checkpoint for it is still there."""
    described, result = entry.described or {}, entry.result or {}
    declared = tasks().get(str(described.get("kind")))
    if entry.state != "finished" or declared is None or declared.look is None:
        return False
    if (declared.trains and not result.get("step")) or (entry.folder.path / FILE).exists():
        return False
    watch = described.get("recipe", {}).get("watch", {})
    source = entry.folder if declared.trains else entry.folder.parent
    trained = source is not None and any(source.checkpoints.glob("step-*.pt"))
    return trained and watch.get("look", True) is not False


def missing_looks(plan: Plan) -> list[Entry]:
    """The plan's stages that lack their look; stale ones are left, other code made them."""
    skipped = (each for each in plan.stages if each.action == "skip" and not each.stale)
    return [each.entry for each in skipped if lacks_look(each.entry)]


def keep_missing(plan: Plan, site: Site, reporter: Reporter, stopping: Callable[[], bool]) -> None:
    """Keep what the stages of `missing_looks` show. What cannot be kept is noted, once for each
    reason."""
    if not (found := missing_looks(plan)):
        return
    import torch

    from harness.look.after import why_not_kept
    from harness.stage.execute import Job, pick_device

    device = pick_device(site.device)
    ids: dict[str, list[str]] = {}
    for entry in found:
        if stopping():
            return
        sweep(entry.folder)
        job = Job(entry.folder.path, site.data, device)
        if why := why_not_kept(job, torch.device(device), stopping):
            ids.setdefault(why, []).append(entry.folder.id)
    for why, named in ids.items():
        more = f" and {len(named) - 1} more" if len(named) > 1 else ""
        reporter.note(f"{named[0]}{more}: finished, but no pictures are kept: {why}")
