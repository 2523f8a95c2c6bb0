"""The start of every submission: copies of the present code and recipe, and the record, which is
written before anything is submitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.launch import snapshot
from harness.plan import Plan
from harness.store import submission
from harness.store.submission import Array, Submission


@dataclass(frozen=True)
class NewSubmission:
    """A submission that was prepared, before its first job."""

    record: Submission
    folder: Path
    """Folder for its scripts, pickles and logs."""
    code: Path
    """The code snapshot that its jobs import."""
    recipe: Path
    """The recipe's copy."""


def begin(
    plan: Plan,
    runs: Path,
    sets: Sequence[str],
    *,
    on: str,
    arrays: Callable[[str], Sequence[Array]],
    clean: bool = False,
    cluster: str = "",
) -> NewSubmission:
    """Copy the code and the recipe and write the record; the caller holds the run root's claim.

    Args:
        runs: the run root, absolute.
        sets: the --set options that the plan was made with.
        on: the launcher's kind.
        arrays: makes the arrays to submit from the submission's id.
        clean: refuse a checkout with uncommitted changes.
        cluster: see Submission.

    Raises:
        HarnessError: the checkout has uncommitted changes.
        StoreError: the run root cannot be written.
    """
    code = snapshot.take(runs, clean=clean)
    sid = submission.new_id()
    folder = submission.folder(runs, sid)
    recipe = snapshot.keep_recipe(plan, folder / "recipes")
    record = submission.new(
        sid,
        on=on,
        recipe=str(plan.path),
        sets=sets,
        name=plan.name,
        code=str(code),
        arrays=arrays(sid),
        cluster=cluster,
    )
    submission.write(runs, record)
    return NewSubmission(record, folder, code, recipe)
