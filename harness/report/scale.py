"""Compare the scale of our runs with the papers', so that a miniature is not mistaken for ImageNet.

Cells are compared with the same cells at the scale of the printed numbers, if there is a recipe for
it (`Results.references`); else with the recipes of MoCo v1 (arXiv:1911.05722, Sec. 3.3 and 4) and
v2 (arXiv:2003.04297) on ImageNet-1M (`harness.recipe.reference.papers`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.recipe.ablation import CONTROL, Ablation, Scale
from harness.recipe.labels import label
from harness.recipe.reference import papers
from harness.recipe.schema import Knn, Recipe
from harness.recipe.training import TrainedTask
from harness.report import recipe_facts

if TYPE_CHECKING:
    from harness.report.collect import Results

Say = Callable[[Recipe], object]

VARIED = "varied: "

UNKNOWN = "unknown"
"""Shown as the papers' value if their recipes cannot be read; the report's notes give the
reason."""


@dataclass(frozen=True)
class Property:
    """One property of an experiment, and how to print it."""

    what: str
    say: Say
    decides: bool = False
    """Whether it decides if this is the paper's scale; if not, it is only a setting of the
    method."""
    others: tuple[str, ...] = ()
    """Values that also count as the papers', besides those in v1's and v2's recipes."""
    remark: str = ""
    """Text after the papers' value."""
    of_weights: bool = False
    """Whether it means something where given weights are evaluated as they are."""
    marked: bool = True
    """Whether a value other than the papers' is marked as a difference."""
    short: Say | None = None
    """How to print the papers' value, if it has a shorter form."""

    def papers_words(self) -> str:
        """The papers' values, with the paper's name if they differ."""
        say = self.short or self.say
        found = {name: str(say(recipe)) for name, recipe in papers().recipes.items()}
        if not found:
            return UNKNOWN
        if len(set(found.values())) == 1:
            return next(iter(found.values())) + self.remark
        named = (t if t.startswith(name) else f"{t} ({name})" for name, t in found.items())
        return ", ".join(named) + self.remark

    def is_papers(self, recipe: Recipe) -> bool:
        """Whether the recipe has the same value as one of the papers."""
        theirs = {str(self.say(reference)) for reference in papers().recipes.values()}
        return not self.marked or str(self.say(recipe)) in theirs | {*self.others}


def _of_field(path: str, **more: Any) -> Property:
    """A property that is a single field of the recipe."""
    section, _, name = path.partition(".")

    def say(recipe: Recipe) -> object:
        found = getattr(recipe, section)
        found = getattr(found, name, recipe_facts.NONE) if name else found
        return f"{found:g}" if isinstance(found, float) else found

    return Property(label(path), say, **more)


EPOCHS = Property(label("optim.epochs"), recipe_facts.epochs, decides=True)
PROPERTIES = (
    Property("training images", recipe_facts.images, decides=True, of_weights=True),
    Property("image size", lambda recipe: f"{recipe.data.size} px", decides=True, of_weights=True),
    Property("backbone", recipe_facts.backbone, decides=True, of_weights=True),
    EPOCHS,
    Property(
        "negatives, K",
        recipe_facts.negatives,
        decides=True,
        others=("4096",),
        remark=" (4096 in the ablation of momentum)",
    ),
    Property("mechanism", lambda recipe: recipe.contrast.kind, marked=False),
    _of_field("optim.batch", decides=True),
    _of_field("model.bn_group", remark=" (one GPU's share)"),
    _of_field("optim.lr"),
    Property("schedule", recipe_facts.schedule),
    _of_field("optim.sgd_momentum"),
    _of_field("optim.weight_decay"),
    Property("augmentation", recipe_facts.augmentation),
    Property("temperature τ", recipe_facts.temperature_text),
    Property("momentum m", recipe_facts.momentum),
    Property(
        "head",
        lambda recipe: f"{recipe.model.head}, {recipe.model.dim} wide",
        short=lambda recipe: recipe.model.head,
    ),
    _of_field("precision", of_weights=True),
)
"""In the order of the report's table."""


@dataclass(frozen=True)
class Trait:
    """One property of the experiment: the papers' value and ours."""

    what: str
    papers: str
    here: str
    differs: bool
    scale: bool
    """Whether it decides if this is the paper's scale; if not, it is only a setting of the
    method."""


def traits(results: Results) -> list[Trait]:
    """Each property of the table's recipes, with the papers' value."""
    recipes = results.trained or [results.recipe]
    pairs = [(ours, reference) for _, ours, reference in results.reference_pairs]
    return traits_of(recipes, pairs, results.ablation)


def traits_of(
    recipes: Sequence[Recipe], pairs: Sequence[tuple[Recipe, Recipe]], ablation: Ablation | None
) -> list[Trait]:
    """Each property of these recipes, with the papers' value.

    Without recipes at the paper's scale, it is not known what a table varies on purpose. Then a
    property that varies over the cells differs only if no cell has the papers' value; a cell whose
    method has no such property does not count.

    Args:
        recipes: those that train; at least one.
        pairs: each recipe with that of its cell at the scale of the printed numbers; (): unknown.
    """
    least = ablation.printed_epochs if ablation is not None else _least_epochs()
    found = []
    evaluated = _are_evaluated(recipes)
    for each in PROPERTIES:
        if evaluated and not each.of_weights:
            continue
        if pairs and not (each is EPOCHS and least is None):
            theirs = _seen(each.say, [reference for _, reference in pairs])
            differs = any(each.say(ours) != each.say(reference) for ours, reference in pairs)
        elif each is EPOCHS:
            theirs = str(least or "any")
            differs = not any(_trained_enough(recipe, least or 0) for recipe in recipes)
        else:
            theirs = each.papers_words()
            having = [r for r in recipes if each.say(r) not in (None, recipe_facts.NONE)]
            differs = bool(having) and not any(map(each.is_papers, having))
        found.append(Trait(each.what, theirs, _seen(each.say, recipes), differs, each.decides))
    return found


def _least_epochs() -> int:
    return min((each.optim.epochs for each in papers().recipes.values()), default=0)


def _trained_enough(recipe: Recipe, epochs: int) -> bool:
    whole = recipe.optim.epochs >= epochs and not recipe_facts.is_cut(recipe)
    return whole or _are_evaluated([recipe])


def _are_evaluated(recipes: Sequence[Recipe]) -> bool:
    """Whether all of them evaluate given weights as they are."""
    return all(each.model.weights is not None and not each.optim.epochs for each in recipes)


def _seen(say: Say, recipes: Sequence[Recipe]) -> str:
    values = (say(recipe) for recipe in recipes)
    seen = list(dict.fromkeys(recipe_facts.NONE if v is None else str(v) for v in values))
    return seen[0] if len(seen) == 1 else VARIED + "; ".join(seen)


def is_papers_scale(results: Results) -> bool:
    """Whether this is the scale of the printed numbers: data, size, backbone, epochs, queue and
    batch are the papers', or the level is the one at which the table was printed. A single recipe
    may have its own backbone, batch and queue."""
    return is_papers(results.scale, results.ablation, lambda: traits(results))


def is_papers(
    scale: Scale | None, ablation: Ablation | None, compared: Callable[[], Sequence[Trait]]
) -> bool:
    """As `is_papers_scale`. `compared` gives the traits, and is called only if they decide."""
    level = scale.level if scale is not None else None
    if ablation is not None and ablation.printed_at != "paper":
        return level == ablation.printed_at
    if scale is not None and level != "paper":
        return False
    own = () if ablation is not None else ("backbone", "batch", "negatives, K")
    return not any(t.differs and t.scale and t.what not in own for t in compared())


def concerns_paper(results: Results) -> bool:
    """Whether the results may be compared with a paper's: they are a table's, or the recipe names
    its source or a target. A recipe of one's own does not."""
    about = results.recipe.about
    if results.ablation is None:
        return bool(about.source or about.targets) or is_papers_scale(results)
    return results.ablation.of_paper


def named(results: Results) -> str:
    """What the scale is, in words for the start of a line."""
    if is_papers_scale(results):
        return "The scale of the printed numbers"
    return "Not the paper's scale" if concerns_paper(results) else "Scale"


def changed_here(results: Results) -> list[str]:
    """The scale's own changes, in sentences: for all cells, then cell by cell."""
    scale = results.scale
    if scale is None:
        return []
    of_cells = set[str]().union(*(_settings(results, cell.id) for cell in results.cells))
    unless = ", unless it has a value of its own" if of_cells & scale.set.keys() else ""
    lines = [f"For every cell{unless}: {changes_text(scale.set)}."] if scale.set else []
    alike: dict[str, list[str]] = {}
    for cell in results.cells:
        if cell.runs and scale.set_cells.get(cell.id):
            alike.setdefault(changes_text(scale.set_cells[cell.id]), []).append(cell.label)
    lines += [f"For {'; '.join(labels)}: {changes}." for changes, labels in alike.items()]
    absent = [cell for cell in results.cells if not cell.runs]
    left_out = [cell.label for cell in absent if is_run(results.ablation, cell.id)]
    if left_out:
        lines.append(f"Not run: {'; '.join(left_out)}.")
    lines += [
        f"Tuned on seed{'s' if len(each.seeds) > 1 else ''} {_list(each.seeds)}: {each.what}."
        for each in scale.tuned_on
    ]
    return lines


def _settings(results: Results, cell_id: str) -> set[str]:
    """The fields that the table or the scale sets for the cell."""
    cell = results.ablation.cell(cell_id) if results.ablation is not None else None
    own = results.scale.set_cells.get(cell_id, {}) if results.scale is not None else {}
    return {*((cell and cell.set) or {}), *own}


def is_run(ablation: Ablation | None, cell_id: str) -> bool:
    """Whether the cell can be run, and is not another method's printed row."""
    cell = ablation.cell(cell_id) if ablation is not None else None
    return cell is None or cell.set is not None


def changes_text(changes: Mapping[str, Any]) -> str:
    """Dotted fields and values as one line, e.g. "optim.epochs = 20, contrast.queue = 512"."""
    return ", ".join(f"{field} = {_value(value)}" for field, value in changes.items())


def _value(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value


def one_line(results: Results) -> str:
    """The scale in one sentence, for the top of a report: that of the plan, with the number of
    runs that were made if some were not."""
    here = {
        trait.what: trait.here.removeprefix(VARIED).replace("; ", " / ")
        for trait in traits(results)
    }
    seeds = len(results.seen_seeds)
    if _are_evaluated(results.trained or [results.recipe]):
        where = f"{here['training images']}, {here['image size']}, {here['backbone']}"
        return f"{where}, given weights as they are" + (f", {seeds} seeds" if seeds > 1 else "")
    number, early, stopped = here["epochs"].partition(" (")
    epochs = f"{number} epoch{'s' if number != '1' else ''}{early}{stopped}"
    counts = [k for k in here["negatives, K"].split(" / ") if k != recipe_facts.NONE]
    keys = "".join(f"K {k}, " for k in counts)
    if len(counts) > 1:
        keys = f"{' / '.join(counts)} negatives, "
    made = sum(run.stages["pretrain"].entry.result is not None for run in results.runs)
    planned = len(results.runs)
    return (
        f"{here['training images']}, {here['image size']}, {here['backbone']}, {epochs}, "
        + keys
        + f"batch {here['batch']}, "
        + (f"{seeds} seeds" if seeds > 1 else "1 seed")
        + (f", {made} of {planned} planned runs made" if made < planned else "")
    )


def protocol_sentences(results: Results) -> list[str]:
    """How the numbers were measured, in sentences, one for each protocol in the recipes."""
    lines: list[str] = []
    for run in results.runs:
        for line in _sentences(run.recipe):
            if line not in lines:
                lines.append(line)
    last = "Results are from the last epoch, never the best one."
    if any(cell.id == CONTROL and cell.runs for cell in results.cells):
        last += (
            " The untrained network is the same network with its initial weights, evaluated in the "
            "same way."
        )
    return [*lines, last]


def _sentences(recipe: Recipe) -> list[str]:
    lines = list(of_data(recipe))
    if recipe.knn is not None:
        lines.append(f"kNN: {_votes(recipe.knn)}")
    probe = recipe.linear
    if probe is not None:
        others = f" (others, as sensitivity: {_list(probe.lr[1:])})" if len(probe.lr) > 1 else ""
        views = "random crops and flips" if probe.views == "random_crop" else "centre crops"
        drops = f"×{probe.factor:g} at epochs {_list(probe.drops)}" if probe.drops else "constant"
        lines.append(
            f"Linear probe: frozen features, SGD, {probe.epochs} epochs, batch {probe.batch}, "
            f"learning rate {probe.lr[0]:g}{others}, {drops}, momentum {probe.sgd_momentum:g}, "
            f"weight decay {_list(probe.weight_decay[:1])}, {views}. The first learning "
            "rate is the result, never the best of several."
        )
    further = recipe.tasks.items()
    lines += [_trained(name, said) for name, said in further if isinstance(said, TrainedTask)]
    return lines


def _trained(name: str, task: TrainedTask) -> str:
    """How a task trains the whole network, as a sentence."""
    length, unit = (task.epochs, "epochs") if task.epochs is not None else (task.steps, "steps")
    schedule = task.schedule
    how = str(schedule.kind)
    if schedule.kind == "step":
        how = f"×{schedule.factor:g} at {unit} {_list(schedule.drops)}"
    head = f", times {task.head_lr:g} for new layers" if task.head_lr != 1 else ""
    return (
        f"{name} ({task.kind}): all layers train, SGD, {unit}: {length}, batch {task.batch}, "
        f"learning rate {task.lr:g}{head}, {how}, momentum {task.sgd_momentum:g}, weight decay "
        f"{task.weight_decay:g}. "
        + (f"A value is the mean over {task.trials} trials." if task.trials > 1 else "One trial.")
    )


def _votes(knn: Knn) -> str:
    layer = "the backbone's pooled features" if knn.layer == "backbone" else "the head's output"
    queries = "all test images" if knn.queries is None else f"{knn.queries} fixed test images"
    return (
        f"k = {knn.k[0]}, T = {knn.temperature:g}, on {layer}, {queries}; "
        "neighbours vote with exp(cosine similarity / T)."
    )


def of_data(recipe: Recipe) -> Iterator[str]:
    """What a reader should know of the data, in sentences: a test set that the harness split off,
    images without labels, and the protocol of kNN on other data."""
    others = [(name, said) for name, said in recipe.tasks.items() if said.data is not None]
    for data in (recipe.data, *(said.data for _, said in others)):
        if data is not None and data.split is not None:
            yield (
                f"{data.folder} has no test set of its own: a fixed {100 * data.split:g} % of each "
                "class's images is its test set, the same for every seed, and no run trains on it. "
                "Numbers on it compare with no others."
            )
    if not recipe.data.labelled:
        watched = recipe.watch.knn_task
        how = f"kNN is monitored by the task {watched}" if watched else "kNN is not monitored"
        yield f"The images of {recipe.data.folder} have no labels; {how}."
    for name, said in others:
        if isinstance(said, Knn) and said.data is not None:
            where = said.data.folder or said.data.name
            bank = f", {said.data.images:,} of its training images" if said.data.images else ""
            yield f"kNN of the task {name}, on {where}{bank}: {_votes(said)}"


def _list(numbers: tuple[float, ...] | tuple[int, ...]) -> str:
    return ", ".join(f"{n:.0f}" if n == round(n) else f"{n:g}" for n in numbers)
