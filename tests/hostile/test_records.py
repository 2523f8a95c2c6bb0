"""A run root in which one file was changed by somebody: every reader goes on, and none is misled.

The run is real. Each case changes one of its files, looks at the run root in all the ways there
are (ledger, status, logs, plan, estimate, report, check, publish, mirror), and puts it back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage.tiny import run, write

from harness.check.cells import CurrentState, read_cells
from harness.check.targets import against_targets
from harness.cli import show
from harness.cli.cells import CellReader
from harness.cli.status import status_command
from harness.command import Commands
from harness.errors import HarnessError
from harness.launch import selection
from harness.launch.cancel import aim
from harness.launch.logs import sources, verdict
from harness.launch.status import StatusReader
from harness.plan import make_plan
from harness.recipe.expand import Member
from harness.recipe.load import load_recipe
from harness.recipe.schema import Recipe, Target
from harness.report import latex, spreadsheet
from harness.report.claims import judge
from harness.report.collect import collect_single
from harness.report.publish import publish
from harness.report.results_json import as_json
from harness.report.write import write_report
from harness.site import load_site
from harness.store import atomic, certificate, journal, ledger, submission
from harness.store.certificate import Certificate, Check
from harness.store.edition import Editions, edition
from harness.store.latest import Latest
from harness.store.layout import StageFolder
from harness.track import metadata, mirror_state
from harness.track.tail import Progress, Tail
from hostile.cases import cases
from hostile.mutate import json_bytes, line_bytes

DRAWN = 20
"""Of so many reports one is drawn, as that takes as long as a dozen cases. By the sum of the case's
bytes, as Hypothesis draws the ends of a range of numbers far more often than the others."""


@dataclasses.dataclass(frozen=True)
class Root:
    """A finished tiny run, an interrupted one, and what was handed to a cluster."""

    path: Path
    recipe: Path
    out: Path
    kept: dict[str, bytes] = dataclasses.field(repr=False)
    """Every file of JSON or lines of it, as it was written."""

    @property
    def loaded(self) -> Recipe:
        found = load_recipe(self.recipe)
        target = Target(metric="knn/top1", value=50.0, tolerance=1.0, source="here", epoch=None)
        return found.model_copy(
            update={"about": found.about.model_copy(update={"targets": (target,)})}
        )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    place = tmp_path_factory.mktemp("records")
    runs = place / "runs"
    recipe = write(place)
    folders = run(recipe, runs)
    stopped: dict[str, StageFolder] = {}
    looks = iter(range(1000))
    stopped = run(recipe, runs, ("seed=1",), stopping=lambda: next(looks) > 6)
    ids = [folder.id for folder in (*folders.values(), *stopped.values())]
    arrays = [submission.Array("moco-1-pretrain", "pretrain", tuple(ids), job="4711")]
    arrays.append(submission.Array("moco-1-report", "report", (), (0,), "4712", ("4711",)))
    made = submission.new(
        submission.new_id(), on="local", recipe=str(recipe), sets=["seed=1"], name="tiny",
        code="", arrays=arrays,
    )  # fmt: skip
    submission.write(runs, made)
    for folder in folders.values():
        one = mirror_state.MirrorState(
            "tiny-1", "moco", "offline", offline=Progress(3, 2, ["train/loss"])
        )
        one.save(folder, "wandb")
    hardware: dict[str, str | int] = {
        "device": "cpu",
        "nodes": 1,
        "processes": 1,
        "backend": "gloo",
    }
    checks = (Check("kernels", "passed", "equal", {"most": 1e-6}),)
    certificate.write(
        runs,
        Certificate(
            edition("pretrain", "moco"), hardware, {"torch": "2"}, checks, "2026-01-01T00:00:00Z"
        ),
    )
    kept = {
        str(path.relative_to(runs)): path.read_bytes()
        for path in sorted(runs.rglob("*.json*"))
        if path.is_file()
    }
    assert {Path(name).name for name in kept} >= {
        "stage.json", "result.json", "attempt.json", "ended.json", "alive.json", "wandb.json",
        "metrics.jsonl",
    }  # fmt: skip
    return Root(runs, recipe, place / "out", kept)


def looked_at(root: Root, *, drawn: bool) -> None:
    """Look in every way; a HarnessError is an answer, anything else a defect."""
    runs = root.path
    console, show.console = (
        show.console,
        show.InertConsole(file=io.StringIO(), width=200, highlight=False),
    )
    try:
        for entry in ledger.everything(runs):
            folder = entry.folder
            ledger.read_entry(folder)
            Latest(folder, ("knn/top1",)).read()
            records: list[journal.Record] = []
            answered(lambda f=folder, found=records: found.extend(journal.read(f)))
            assert all(type(record["step"]) is int for record in records)
            answered(lambda f=folder: journal.last(f))
            answered(lambda f=folder: Tail(f, Progress()).settled(None))
            answered(lambda f=folder: mirror_state.stored_state(f, "wandb"))
            answered(
                lambda f=folder: metadata.describe(f, mirror_state.MirrorState("x", "p"), "offline")
            )
            metadata.summary(entry.result or {})
            answered(lambda f=folder: sources(runs, f.id))
        answered(lambda: submission.everything(runs))
        certificate.of(runs, edition("pretrain", "moco"))
        seen = StatusReader(runs).read()
        for row in seen.rows:
            CellReader().cells(row)
            assert isinstance(row.again(Commands(runs)), str)
            list(verdict(Commands(runs), row))
        aim(seen, [row.id for row in seen.rows])
        answered(lambda: selection.known(runs))
        status_command(load_site(runs=runs), every=True)
        answered(lambda: show.plan(make_plan(root.recipe, [], runs), load_site(runs=runs)))
        member = Member(root.loaded.name, root.loaded.seed, root.loaded)
        answered(
            lambda: against_targets(
                read_cells("tiny", [member], runs), CurrentState(Editions.same("any"))
            )
        )
        reported(root, drawn=drawn)
    finally:
        show.console = console


def reported(root: Root, *, drawn: bool) -> None:
    results = collect_single(root.loaded, root.path)
    judgements = judge(results)
    atomic.dump(as_json(results, judgements, []))
    latex.render(results, judgements)
    spreadsheet.runs(results)
    if drawn:
        write_report(results, root.out / "report")
    answered(lambda: publish(results, root.out / "published", recipe="tiny.yaml"))


def answered(action: Any) -> None:
    """It works, or says why not."""
    with contextlib.suppress(HarnessError):
        action()


def changed(root: Root, name: str, content: bytes) -> None:
    """One case."""
    path = root.path / name
    path.write_bytes(content)
    try:
        looked_at(root, drawn=zlib.crc32(content) % DRAWN == 0)
    finally:
        path.write_bytes(root.kept[name])


def number(content: bytes) -> float | None:
    """The kNN accuracy that a result.json states, read without the harness; None: none."""
    try:
        said = json.loads(content)
        value = said["values"]["knn/top1"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    real = type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)
    return float(value) if said.get("state") == "finished" and real else None


@cases(450)
@given(data=st.data())
def test_files_of_json(root: Root, data: st.DataObject) -> None:
    names = [name for name in root.kept if name.endswith(".json")]
    name = data.draw(st.sampled_from(names))
    content = data.draw(json_bytes(root.kept[name]))
    changed(root, name, content)


@cases(100)
@given(data=st.data())
def test_a_result_is_what_its_file_says(root: Root, data: st.DataObject) -> None:
    """No number stands in a report that its result.json does not state."""
    name = next(n for n in root.kept if ".knn-" in n and n.endswith("result.json"))
    content = data.draw(json_bytes(root.kept[name]))
    path = root.path / name
    path.write_bytes(content)
    try:
        results = collect_single(root.loaded, root.path)
        (cell,) = results.cells
        summary = results.summary(cell, "knn/top1")
    finally:
        path.write_bytes(root.kept[name])
    if summary is not None:
        assert summary.mean == number(content)


@cases(150)
@given(data=st.data())
def test_journals(root: Root, data: st.DataObject) -> None:
    names = [name for name in root.kept if name.endswith(".jsonl")]
    name = data.draw(st.sampled_from(names))
    content = data.draw(line_bytes(root.kept[name]))
    changed(root, name, content)


DAMAGED_ALIKE = ("loop", "deep", "digits")
"""What every file's reader sees in the same place: one file of each name will do."""


@pytest.mark.parametrize("what", ["folder", "absent", "empty", "loop", "deep", "digits"])
def test_what_is_no_file(root: Root, what: str) -> None:
    names = list(root.kept)
    if what in DAMAGED_ALIKE:
        names = list({Path(name).name: name for name in names}.values())
    for name in names:
        path = root.path / name
        path.unlink()
        try:
            if what == "folder":
                path.mkdir()
            elif what == "empty":
                path.touch()
            elif what == "loop":
                path.symlink_to(path.name)
            elif what == "deep":
                path.write_bytes(b"[" * 200_000)
            elif what == "digits":
                path.write_bytes(b'{"step": ' + b"9" * 10_000 + b', "state": "finished"}')
            looked_at(root, drawn=False)
        finally:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            path.write_bytes(root.kept[name])
