"""The recipes that `check` tests. An error in one of them does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.check.baseline import Baseline, load_baseline
from harness.check.verdict import Failure
from harness.errors import HarnessError, RecipeError
from harness.plan import Plan, make_plan
from harness.recipe.ablation import Scale
from harness.recipe.find import find
from harness.recipe.load import is_list, load, load_list
from harness.recipe.schema import Recipe, Watch


@dataclass(frozen=True)
class Task:
    """One recipe to check."""

    path: Path
    sets: tuple[str, ...]
    baseline: Path | None
    """The baseline that its results are compared with."""


@dataclass(frozen=True)
class Asked:
    """One recipe, with one seed if seeds are named, and its baseline."""

    task: Task
    plan: Plan
    baseline: Baseline | None


class Tasks:
    """The recipes to check, and the errors of those that cannot be checked.

    Args:
        named: recipes and lists, by file or name.
        seeds: replace the recipes' own; () keeps those.
        against: a baseline for all; None: the lists' own.
        without: use no baseline at all, because one will be written.
    """

    def __init__(
        self,
        named: Sequence[Path | str],
        sets: Sequence[str],
        runs: Path,
        *,
        seeds: Sequence[int],
        against: Path | None,
        without: bool,
    ) -> None:
        self.asked: list[Asked] = []
        self.errors: list[tuple[str, HarnessError]] = []
        self._baselines: dict[Path, Baseline] = {}
        self._known: dict[tuple[str, str], tuple[Path, Recipe]] = {}
        files: list[tuple[Path, Path | None]] = []
        for path in named:
            with self._noted(path):
                files += [
                    (file, against or (None if without else baseline))
                    for file, baseline in self._files(str(path))
                ]
        for file, baseline in dict.fromkeys(files):
            with self._noted(file):
                for added in _seeded(file, sets, seeds):
                    self._add(Task(file, (*sets, *added), baseline), runs, targets=not without)

    @property
    def failures(self) -> list[Failure]:
        return [Failure(where, str(error)) for where, error in self.errors]

    def refuse(self) -> None:
        """Raise all errors as one, with the first one's exit code."""
        if not self.errors:
            return
        first = self.errors[0][1]
        if len(self.errors) == 1:
            raise first
        whole = RecipeError("\n".join(dict.fromkeys(str(error) for _, error in self.errors)))
        whole.exit_code = first.exit_code
        for _, error in self.errors:
            whole.instead |= getattr(error, "instead", {})
        raise whole

    @contextmanager
    def _noted(self, path: Path | str) -> Iterator[None]:
        try:
            yield
        except HarnessError as error:
            self.errors.append((str(path), error))

    def _files(self, named: str) -> list[tuple[Path, Path | None]]:
        path = find(named)
        if not is_list(path):
            return [(path, None)]
        missing: list[str] = []
        _, files, baseline = load_list(path, missing.append)
        self.errors += [(str(path), RecipeError(said)) for said in missing]
        return [(file, baseline) for file in files]

    def _add(self, task: Task, runs: Path, *, targets: bool) -> None:
        plan = make_plan(task.path, task.sets, runs)
        baseline = None
        if task.baseline is not None:
            if task.baseline not in self._baselines:
                self._baselines[task.baseline] = load_baseline(task.baseline)
            baseline = self._baselines[task.baseline]
        elif targets and not any(stage.recipe.about.targets for stage in plan.stages):
            raise RecipeError(
                f"{task.path}: no targets to check; add some under about.targets or targets, or "
                "name a baseline with --against"
            )
        self._one_recipe_a_name(task, plan)
        self.asked.append(Asked(task, plan, baseline))

    def _one_recipe_a_name(self, task: Task, plan: Plan) -> None:
        """Refuse two recipes with the same name, because results are stored under it. They may
        differ only in their seeds. Raises a RecipeError if they differ in more."""
        new: dict[tuple[str, str], tuple[Path, Recipe]] = {}
        for stage in plan.stages:
            if plan.is_beside(stage):  # recipes may share it
                continue
            name = plan.scale.name if plan.scale is not None else stage.recipe.name
            recipe = stage.recipe.model_copy(update={"seed": 0, "watch": Watch()})
            key = name, stage.member.cell
            path, first = self._known.get(key) or new.setdefault(key, (task.path, recipe))
            if recipe != first:
                raise RecipeError(
                    f"{task.path}: {path} has the same name, {name}, but other content: rename "
                    "one of them, or check them in two calls"
                )
        self._known |= new


def _seeded(path: Path, sets: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, ...]]:
    """The settings for each of these seeds. A single recipe gets one run per seed."""
    if not seeds:
        return [()]
    if isinstance(load(path, sets), Scale):
        return [(f"seeds=[{', '.join(map(str, seeds))}]",)]
    return [(f"seed={seed}",) for seed in seeds]
