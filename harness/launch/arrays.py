"""Group the stages of a plan into job arrays, and decide which array waits for which.

Element i of an array of probes belongs to element i of its parents' array. So each probe can start
as soon as its own pre-training has ended (SLURM's aftercorr). Parents are therefore grouped by the
probes that they still have to run.
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
    """The arrays for the plan's stages that have to run: parents before probes, the report last.

    Args:
        submission: its id, part of the arrays' names.
        most: maximum number of elements of an array.
        live: by stage id, jobs of earlier submissions that are running or will run.
        report: submit the report even if no stage is left to run.
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
            else:  # only a part of the array: each waits for all of it
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
    """sbatch's --dependency for `array`; None if it waits for nothing.

    Args:
        jobs: the jobs of the submission's earlier arrays; None for one that was refused.
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
    """(kind, ids) of the stages without a parent, grouped by the probes that still have to run, in
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

    One array if the probes are in the same order as the parents' elements, else one job per probe.
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
