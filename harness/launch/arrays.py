"""How the stages of a plan become job arrays, and which array waits for which.

Element i of an array of probes belongs to element i of its parents' array, so that each probe can
begin when its own pre-training has ended (SLURM's aftercorr). Parents are therefore grouped by
which probes of theirs are still to run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from harness.plan import Plan, PlannedStage
from harness.spec.registry import tasks
from harness.store.submission import Array


def arrays(
    plan: Plan,
    submission: str,
    *,
    most: int,
    live: Mapping[str, str] | None = None,
    report: bool = False,
) -> list[Array]:
    """The arrays of what the plan has to do, those that are waited for first, the report last.

    Args:
        submission: its id, part of the arrays' names.
        most: elements that an array may have.
        live: by stage id, the jobs of earlier submissions that will still run or are running.
        report: the report is wanted behind these, though no stage is left to do.
    """
    live = live or {}
    drafts: list[Array] = []
    place: dict[str, int] = {}

    def draft(kind: str, stages: Iterable[str], after: Iterable[int], waits: Iterable[str]) -> None:
        ids = tuple(stages)
        place.update(dict.fromkeys(ids, len(drafts)))
        name = f"moco-{submission}-{len(drafts)}"
        drafts.append(Array(name, kind, ids, after=tuple(after), waits=tuple(waits)))

    roots = {kind for kind, each in tasks().items() if each.parent is None}
    for kind, group in _trained(plan.todo, roots):
        for chunk in _chunks(group, most):
            draft(kind, chunk, (), ())
    children = {s.name: s.kind for s in plan.stages if s.kind not in roots}
    for name, kind in children.items():
        parents = {s.id: s.parent or "" for s in plan.todo if s.name == name}
        for n in sorted({place[parent] for parent in parents.values() if parent in place}):
            of = {parent: child for child, parent in parents.items() if place.get(parent) == n}
            if set(of) == set(drafts[n].stages):
                draft(kind, (of[parent] for parent in drafts[n].stages), (n,), ())
            else:  # some of the array alone: each waits for all of it
                for child in of.values():
                    draft(kind, (child,), (n,), ())
        held = {c: live[p] for c, p in parents.items() if p not in place and p in live}
        for stages, job in _behind(held, most):
            draft(kind, stages, (), (job,))
        free = [c for c, p in parents.items() if p not in place and p not in live]
        for chunk in _chunks(free, most):
            draft(kind, chunk, (), ())
    if drafts or report:
        own = {stage.id for stage in plan.stages}
        others = dict.fromkeys(job.partition("_")[0] for s, job in live.items() if s in own)
        draft("report", (), range(len(drafts)), others)
    return drafts


def dependency(array: Array, jobs: Sequence[str | None]) -> str | None:
    """sbatch's --dependency of `array`; None if it waits for nothing.

    Args:
        jobs: of the submission's arrays that come before it. None where one was refused.
    """
    behind = [job for n in array.after if (job := jobs[n]) is not None] + list(array.waits)
    if not behind:
        return None
    if array.kind == "report":
        how = "afterany"
    else:
        how = "aftercorr" if len(array.stages) > 1 else "afterok"
    return f"{how}:{':'.join(behind)}"


def _trained(
    todo: Sequence[PlannedStage], roots: Collection[str]
) -> Iterator[tuple[str, list[str]]]:
    """(kind, ids) of the stages that build on none, those with the same probes to run together, in
    the plan's order."""
    probes: dict[str, list[str]] = {}
    for stage in todo:
        if stage.kind not in roots:
            probes.setdefault(stage.parent or "", []).append(stage.name)
    groups: dict[tuple[str, ...], list[str]] = {}
    for stage in todo:
        if stage.kind in roots:
            groups.setdefault((stage.kind, *probes.get(stage.id, ())), []).append(stage.id)
    yield from ((kind, ids) for (kind, *_), ids in groups.items())


def _behind(held: Mapping[str, str], most: int) -> Iterator[tuple[list[str], str]]:
    """(stages, job) of probes whose parents run in the jobs `held` of earlier submissions.

    One array where its elements stand as the parents' do, else a job for each.
    """
    parents: dict[str, dict[int, str]] = {}
    for child, job in held.items():
        number, _, index = job.partition("_")
        if index:
            parents.setdefault(number, {})[int(index)] = child
        else:
            yield [child], job
    for number, children in parents.items():
        if 1 < len(children) <= most and sorted(children) == list(range(len(children))):
            yield [children[n] for n in range(len(children))], number
        else:
            yield from (([child], f"{number}_{n}") for n, child in sorted(children.items()))


def _chunks(stages: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(stages), most):
        yield stages[start : start + most]
