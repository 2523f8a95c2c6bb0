"""Run records for publication: the files that a report reads, without checkpoints and private data.

Of each stage these are kept: stage.json, result.json, its pictures and curves, what the report
shows of its network, each attempt's provenance and, for pre-training, the journal. The journal is
thinned as for figures: blocks of steps become their mean, monitored lines stay. Host names and the
folders of absolute paths are removed.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
from collections.abc import Container, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.recipe.identity import spec
from harness.redact import without_places
from harness.report.collect import Results, added_runs
from harness.report.curves import POINTS, blocks, is_number
from harness.report.look_sections import shown_stages
from harness.report.preregistration import KEY
from harness.report.published import MARK, published
from harness.report.runs import WORDS, Run, Stage
from harness.spec.registry import launchers
from harness.store import atomic, journal, look, pictures, precision_recall
from harness.store.layout import StageFolder
from harness.store.ledger import read_entry
from harness.store.validity import LAST_EPOCH, before_last_epoch

PROVENANCE = (
    "edition", "code", "packages", "python", "machine", "data", "inputs", "command",
)  # fmt: skip
"""Keys of attempt.json that are published, besides the launchers' keys and PROCESSES."""
PROCESSES = ("processes", "started")

OPEN_IMAGES = ("embedded", "cifar10", "cifar100", "scenes")
"""Data sets whose images anyone may show. Those of others (folders of the user's, ImageNet) are
published only on request."""


def publish(
    results: Results,
    root: Path,
    *,
    recipe: str,
    sets: Sequence[str] = (),
    with_images: bool = False,
) -> Path:
    """Write the records of every run of the table into the run root `root`; returns it.

    Earlier records at this place are replaced. The records are a run root themselves: copied into
    another one, their runs count as finished there, and publishing from it gives the same records.

    Args:
        recipe: the recipe's path in the repository, to make the report again.
        sets: the `--set` options of the report.
        with_images: also publish images that are not in OPEN_IMAGES: thumbnails, and test images
            with what was predicted for them.

    Raises:
        StoreError: a run is not finished, is damaged, or stale for another reason than its edition;
            `root` holds something else, or a result that the run root does not; the disk is full.
    """
    finish_replacement(root)
    stages = {stage.id: (run, stage) for run in results.runs for stage in run.stages.values()}
    kept = [(run, stage) for run, stage in stages.values() if stage.state != "absent"]
    _refuse([stage for _, stage in kept], results, root)
    files: dict[str, bytes] = {}
    for run, stage in kept:
        shows = with_images or not _is_private(run, stage)
        try:
            record = _record(stage, with_pictures=shows)
        except ValueError as error:  # NaN, which JSON does not have
            where = stage.entry.folder.path
            raise StoreError(f"{where}: damaged ({error}); move it away and run again") from error
        files |= {f"{stage.id}/{name}": atomic.encoded(text) for name, text in record.items()}
        if shows:
            made = pictures.read(stage.entry.folder.path, stage.entry.result or {})
            files |= {f"{stage.id}/{name}": png for name, png in pictures.files(made).items()}
        curves = precision_recall.content(stage.entry.folder.path, stage.entry.result or {})
        files |= {} if curves is None else {f"{stage.id}/{precision_recall.FILE}": curves}
    _refuse_to_lose(results, root, files)
    shown = shown_stages(results)
    for run, stage in kept:
        if stage.id in shown:
            files |= _look(run, stage, with_images=with_images)
    assert results.comparability is not None
    mark: dict[str, Any] = {
        "recipe": recipe,
        "sets": list(sets),
        "edition": results.comparability.editions.record(),
    }
    mark["matplotlib"] = _version("matplotlib")
    if KEY in (older := published(root) or {}):
        mark[KEY] = older[KEY]
    files[MARK] = atomic.encoded(atomic.dump(mark))
    draft, before = root.with_name(f"{root.name}.new"), _before(root)
    try:
        _refuse_other_draft(draft)
        shutil.rmtree(draft, ignore_errors=True)
        for name, content in files.items():
            place = draft / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        for _, stage in kept:
            copied = read_entry(StageFolder(draft / stage.id))
            if copied.state == "damaged":
                shutil.rmtree(draft, ignore_errors=True)
                raise StoreError(
                    f"{stage.entry.folder.path}: its published copy would not agree with itself "
                    f"({copied.detail.partition(';')[0]}); this is a fault of the harness"
                )
        if root.exists():
            root.rename(before)
        draft.rename(root)
        shutil.rmtree(before, ignore_errors=True)
    except OSError as error:
        finish_replacement(root)
        raise atomic.write_error(error, root) from error
    return root


def _before(root: Path) -> Path:
    """Where the earlier records are while new ones take their place."""
    return root.with_name(f".{root.name}.replaced")


def finish_replacement(root: Path) -> None:
    """Undo, or end, the replacement of the records at `root` by a call that was killed.

    Raises:
        StoreError: the disk cannot be written.
    """
    before = _before(root)
    try:
        if before.is_symlink() or not before.is_dir():
            return
        if root.exists():
            shutil.rmtree(before)
        elif (before / MARK).exists():
            before.rename(root)
    except OSError as error:
        raise atomic.write_error(error, before) from error


def private_images(results: Results) -> bool:
    """Whether a stage shows images that are published only on request."""
    return any(
        _shows_images(stage)
        for run in results.runs
        for stage in run.stages.values()
        if stage.state == "finished" and _is_private(run, stage)
    )


def _shows_images(stage: Stage) -> bool:
    result = stage.entry.result or {}
    made = look.read(stage.entry.folder.path, result)
    return pictures.KEY in result or (made is not None and bool(made.of(look.Album)))


def _is_private(run: Run, stage: Stage) -> bool:
    asked = spec(run.recipe, stage.name)
    read = run.recipe.tasks[asked.under].inputs() if asked.under else {}
    own = [name for field, name in read.items() if field != "labels"]  # a list, not images
    return any(name not in OPEN_IMAGES for name in own or [asked.data(run.recipe).name])


def _look(run: Run, stage: Stage, *, with_images: bool) -> dict[str, bytes]:
    """Path in the run root -> content of what the stage shows."""
    result = stage.entry.result or {}
    made = look.read(stage.entry.folder.path, result)
    if made is None:
        return {}
    if not with_images and _is_private(run, stage):
        made = made.without_images()
    if not made.shapes:
        return {}
    return {f"{stage.id}/{name}": content for name, content in look.files(made, result).items()}


def _refuse(stages: Iterable[Stage], results: Results, root: Path) -> None:
    for stage in stages:
        if stage.state in ("running", "damaged", "unreadable"):
            what = "wait until it ends" if stage.state == "running" else stage.entry.detail
            says = WORDS.get(stage.state, stage.state)
            raise StoreError(f"{stage.entry.folder.path}: {says}; {what}")
    for run in results.runs:
        for stage in run.stages.values():
            if why := stage.why_stale(
                run.stages, None
            ):  # another edition is no reason: the report names it
                where = stage.entry.folder.path
                raise StoreError(f"{where}: {why}; restore the old one, or use run --again")
        if run.copied:
            raise StoreError(f"{run.stages['pretrain'].entry.folder.path}: {run.copied}")
    if results.comparability is None:
        raise StoreError(f"{results.name}: no run has a result yet, so there is nothing to publish")
    if root.exists() and any(root.iterdir()) and published(root) is None:
        raise StoreError(f"{root}: contains files that `publish` did not write; move it away")


def _refuse_other_draft(draft: Path) -> None:
    """Refuse what is no draft that an earlier call left, whole or not."""
    if draft.is_symlink() or (draft.exists() and not draft.is_dir()):
        raise StoreError(f"{draft}: in the way of the new records; move it away")
    ids = re.compile(r"\S+-[0-9a-f]{10}")
    for each in draft.iterdir() if draft.is_dir() else ():
        if each.name != MARK and not ids.fullmatch(each.name):
            raise StoreError(f"{each}: `publish` did not write this; move {draft} away")


def _refuse_to_lose(results: Results, root: Path, files: Container[str]) -> None:
    """Refuse if a stage is published with a result that is not in `files`."""
    added = [
        run
        for cell in results.cells
        if cell.runs and results.scale is not None
        for run in added_runs(cell.runs, results.scale, root)
    ]
    planned = [stage for run in (*results.runs, *added) for stage in run.stages.values()]
    lost = [
        stage
        for stage in planned
        if f"{stage.id}/result.json" not in files and (root / stage.id / "result.json").exists()
    ]
    if lost:
        runs = results.runs[0].stages["pretrain"].entry.folder.path.parent
        raise StoreError(
            f"{root / lost[0].id}: published with a result, but {runs} has none"
            f"{f', like {len(lost) - 1} more stages' if len(lost) > 1 else ''}. To keep them, move "
            f"unfinished folders of these stages out of {runs}, and copy the published records "
            f"there: cp -rn {shlex.quote(str(root))}/*/ {shlex.quote(str(runs))}/. To drop them, "
            f"remove {root}"
        )
    made = sorted(path.parent.name for path in root.glob("*/result.json"))
    if others := [name for name in made if f"{name}/result.json" not in files]:
        raise StoreError(
            f"{root / others[0]}: published with a result, but no stage of what is published now"
            f"{f', like {len(others) - 1} more' if len(others) > 1 else ''}. To keep them, publish "
            f"with all cells and seeds; to drop them, remove {root}"
        )


def _record(stage: Stage, *, with_pictures: bool) -> dict[str, str]:
    """File name in the stage's folder -> text."""
    entry = stage.entry
    folder = entry.folder
    files = {"stage.json": atomic.dump(without_places(entry.described))}
    attempts = folder.attempts()
    for path in attempts:
        said = atomic.read_json(path / "attempt.json")
        said = said if isinstance(said, dict) else {}
        theirs = [kind for kind, each in launchers().items() if each.variables]
        kept = {key: said[key] for key in (*PROVENANCE, *theirs, *PROCESSES) if key in said}
        files[f"attempts/{path.name}/attempt.json"] = atomic.dump(without_places(kept))
    newest = f"attempts/{attempts[-1].name}"
    loss = "train/loss" if stage.kind == "pretrain" else f"{stage.kind}/loss"
    reports_loss = stage.kind == "pretrain" or loss in (entry.result or {}).get("values", {})
    lines = list(_journal(folder, loss)) if reports_loss else _last(folder)
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    if text:
        files[f"{newest}/metrics.jsonl"] = text
    if entry.result is not None:
        result = without_places(entry.result)
        if not with_pictures:
            result.pop(pictures.KEY, None)
        if "journal" in result:
            result["journal"] = {attempts[-1].name: journal.mark(text.encode())}
        files["result.json"] = atomic.dump(result)
    else:
        ended = {"how": stage.state, "message": without_places(entry.detail)}
        files[f"{newest}/ended.json"] = atomic.dump(ended)
    return files


def _last(folder: StageFolder) -> list[journal.Record]:
    """The journal's last line, which the result repeats."""
    last = journal.last(folder)
    return [] if last is None else [last]


def _journal(folder: StageFolder, loss: str) -> Iterator[journal.Record]:
    """The journal with training steps, the lines with a `loss`, in blocks: last step, means and
    number of steps."""
    records = journal.read(folder)
    training = [r for r in records if is_number(r.get(loss)) and is_number(r.get("epoch"))]
    before = before_last_epoch(records[-1], folder.result or {}) if records else 0
    means = [_mean(block) | _in_last_epoch(block, before) for block in blocks(training, POINTS)]
    kept = {id(record) for record in training}
    yield from sorted(
        [*means, *(record for record in records if id(record) not in kept)],
        key=lambda record: record["step"],
    )


def _mean(block: Sequence[journal.Record]) -> journal.Record:
    if len(block) == 1:
        return block[0]
    mean: journal.Record = {"step": block[-1]["step"], "steps": len(block)}
    for name in block[0]:
        values = [record[name] for record in block if is_number(record.get(name))]
        if name != "step" and values:
            mean[name] = math.fsum(values) / len(values)
    return mean


def _in_last_epoch(block: Sequence[journal.Record], before: int) -> journal.Record:
    """For a block that begins before the last epoch and ends in it, what its steps in that epoch
    have: the stage's result is a mean over that epoch."""
    part = [record for record in block if record["step"] > before]
    if len(part) in (0, len(block)):
        return {}
    mean = _mean(part)
    kept = {name: mean[name] for name in mean if name not in ("step", "epoch", "t")}
    return {LAST_EPOCH: {"steps": len(part)} | kept}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
