"""`moco-harness sweep`, and what other commands do with a sweep."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import app
from harness.app import sweeping
from harness.errors import RecipeError
from harness.recipe.load import load_scale
from harness.site import Site

SMALL = ("--set", "optim.epochs=1", "--set", "linear=null", "--set", "watch.control=false")
TWO = ("--set", "contrast.momentum=0.5,0.9", *SMALL, "--name", "mine")
FILE = Path("runs/sweeps/mine.yaml")


def results(name: str) -> Any:
    (file,) = Path("runs/reports").glob(f"{name}/results.json")
    return json.loads(file.read_text())


def test_a_grid_is_run_reported_and_resumed(moco: Any, tiny: Path) -> None:
    said = moco("sweep", tiny, *TWO, "--seeds", "0-1")
    assert said.code == 0, said.all
    assert {cell["id"]: len(cell["runs"]) for cell in results("mine")["cells"]} == {
        **{"momentum=0.5": 2, "momentum=0.9": 2, "untrained": 2}
    }
    for path in Path("runs").glob("mine.*/stage.json"):
        told = list(json.loads(path.read_text()).items())
        assert told.index(("metric", "knn/top1")) < [key for key, _ in told].index("recipe")
    assert "2 seeds, paired" in said.out
    assert "95 % interval" in Path("runs/reports/mine/report.md").read_text()
    before = FILE.read_bytes()
    again = moco("sweep", tiny, *TWO, "--seeds", "0-1")
    assert again.code == 0
    assert again.idle
    other = moco("sweep", tiny, *TWO, "--seeds", "0-2")
    assert other.code == 2
    assert f"{FILE}: another sweep of this name (seeds: [0 1])" in other.err
    assert "--name" in other.err
    assert FILE.read_bytes() == before
    for words in (("plan", FILE), ("report", FILE), ("status",), ("cancel", FILE), ("gc",)):
        assert moco(*words).code == 0, words
    more = moco("plan", FILE, "--seeds", "0-2")
    assert "9 runs" in more.out
    assert "6 to do" in more.out, "one more seed of two cells and the control"
    assert moco("publish", FILE).code == 0
    assert moco("verify").code == 0
    FILE.unlink()
    assert moco("publish").code == 0, "from its copy beside the report"
    assert Path("reports/mine/mine.yaml").read_bytes() == before


def test_a_dry_run_writes_nothing(moco: Any, tiny: Path) -> None:
    said = moco("sweep", tiny, *TWO, "--dry-run", "--at-once", "2")
    assert said.code == 0, "it takes the options of run"
    assert "mine.momentum=0.5" in said.out
    assert not Path("runs").exists()


def test_a_large_sweep_asks_and_names_its_cost(moco: Any, tiny: Path, place: Path) -> None:
    text = tiny.read_text() + "about: {cost: {hours: 0.5, on: a CPU, source: a guess}}\n"
    (place / "tiny.yaml").write_text(text)
    values = [",".join(str(n / 1000) for n in range(100)) for _ in range(2)]
    grid = ("--set", f"contrast.momentum={values[0]}", "--set", f"optim.weight_decay={values[1]}")
    said = moco("sweep", tiny, *grid)
    assert said.code == 1
    assert "this sweep is 10,000 cells, 10,000 runs, about " in said.err
    assert "--yes" in said.err
    assert len(said.err) < 500, "the values are not repeated"
    assert not Path("runs").exists()


def test_the_question_can_be_declined(
    moco: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "MANY", 1)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda text: "2 cells" not in text)
    assert moco("sweep", tiny, *TWO).code == 0
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--set", "optim.lrr=1,2"],
            "--set optim.lrr=1: optim.lrr: unknown field, did you mean lr",
        ),
        (["--set", "optim.lr=1,1.0"], "--set optim.lr=1,1.0: 1 is given twice"),
        (["--set", "optim.batch=32,30"], "(with --set optim.batch=30)"),
        ([], "nothing to sweep"),
        (["--set", "optim.lr=1,2", "--name", "A"], "--name A: "),
        (["--set", "optim.lr=1,2", "--seeds", "x"], "--seeds x: "),
    ],
)
def test_refusals(moco: Any, tiny: Path, words: list[str], message: str) -> None:
    said = moco("sweep", tiny, *words)
    assert said.code == 2
    assert message in said.err
    assert not Path("runs").exists()


def test_several_seeds_of_one_recipe_are_one_row(moco: Any, tiny: Path) -> None:
    said = moco("run", tiny, *SMALL, "--seeds", "0-1")
    assert said.code == 0, said.all
    (cell,) = results("tiny~*")["cells"]
    assert [run["seed"] for run in cell["runs"]] == [0, 1]
    assert cell["metrics"]["knn/top1"]["summary"]["n"] == 2
    assert "95 % interval" in said.out
    alone = moco("run", tiny, *SMALL, "--set", "seed=1")
    assert alone.idle, "it is the run that --seeds has made"


def test_two_runs_are_compared_by_what_differs(moco: Any, tiny: Path, tmp_path: Path) -> None:
    Path("other.yaml").write_text(f"extends: {tiny}\ncontrast: {{momentum: 0.5}}\n")
    for recipe in (tiny, "other.yaml"):
        assert moco("run", recipe, *SMALL).code == 0
    a, b = sorted(Path("runs/reports").iterdir())
    said = moco("report", "--compare", a, b, "--out", tmp_path / "out")
    assert said.code == 0
    assert "momentum m" in said.out
    assert "one seed: no interval" in said.out
    site = Site(Path("data"), Path("runs"), "cpu", 1, 0.0)
    found = app.compare(a, b, site=site)
    assert [each.what for each in found.differences if each.of_recipe] == ["momentum m"]
    assert (tmp_path / "out" / "comparison.md").exists()
    recipes = moco("report", "--compare", tiny, "other.yaml")
    assert recipes.code == 0
    assert "momentum m" in recipes.out
    for ignored in (("--seeds", "3,4"), ("--set", "optim.lr=0.5")):
        assert moco("report", "--compare", tiny, "other.yaml", *ignored).code == 1, ignored
        assert moco("report", "--compare", a, b, *ignored).code == 1, ignored
    nothing = moco("report", "--compare", tiny, "nowhere")
    assert nothing.code == 1
    assert "nowhere: no report, run root or recipe" in nothing.err


def test_a_diff_of_recipes_with_results_shows_what_ran_them(moco: Any, tiny: Path) -> None:
    for name, momentum in (("one", 0.9), ("other", 0.5)):
        Path(f"{name}.yaml").write_text(
            f"extends: {tiny}\nname: {name}\nlinear: null\nwatch: {{control: false}}\n"
            f"optim: {{epochs: 1}}\ncontrast: {{momentum: {momentum}}}\n"
        )
    fields = moco("recipes", "diff", "one.yaml", "other.yaml").out
    assert "contrast.momentum" in fields
    for name in ("one", "other"):
        assert moco("run", f"{name}.yaml").code == 0
    assert moco("recipes", "diff", "one.yaml", "other.yaml").out.startswith(fields), "nothing else"
    for path in Path("runs").glob("other-s0.*/attempts/*/attempt.json"):
        said = json.loads(path.read_text())
        said["machine"]["threads"], said["packages"]["torch"] = 77, "9.9"
        path.write_text(json.dumps(said))
    lines = moco("recipes", "diff", "one.yaml", "other.yaml").out.splitlines()
    told = {line.split()[0]: line.split()[-1] for line in lines[:20] if line.split()}
    assert (told["threads"], told["torch"]) == ("77", "9.9")
    assert any("kNN top-1" in line for line in lines)


def test_refused_to_publish_a_sweep_leaves_nothing_that_blocks_it_later(
    moco: Any, tiny: Path
) -> None:
    app.sweep(tiny, Site(Path("data"), Path("runs"), "cpu", 1, 0.0), sets=[TWO[1]], name="mine")
    said = moco("publish", FILE)
    assert said.code == 4
    assert not Path("reports").exists()


def test_from_python(tiny: Path) -> None:
    site = Site(Path("data"), Path("runs"), "cpu", 1, 0.0)
    made = app.sweep(tiny, site, sets=["optim.lr=0.1,0.2"], seeds=[0, 1])
    assert (made.cells, made.runs, made.resumed) == (2, 4, False)
    assert app.sweep(tiny, site, sets=["optim.lr=0.1,0.2"], seeds=[0, 1]).resumed
    titled = app.sweep(tiny, site, sets=["optim.lr=0.1,0.2", "about.title=T"], seeds=[0, 1])
    assert titled.resumed
    assert app.report(made.path, site).results.title == "T"
    made.path.write_text(f"# mine\n{made.path.read_text()}")
    before = made.path.read_bytes()
    assert app.sweep(tiny, site, sets=["optim.lr=0.1,0.2"], seeds=[0, 1]).resumed
    assert made.path.read_bytes() == before, "its title and comments are its user's"
    assert "\n# moco-harness sweep tiny.yaml --set" in before.decode()
    app.sweep(tiny, site, sets=["optim.lr=0.1,0.2", "about.notes=[n]"], seeds=[0, 1])
    about = load_scale(made.path).about
    assert (about.title, about.notes) == ("T", ("n",))
    assert made.path.read_text().startswith("# mine\n")
    made.path.write_text(f"{made.path.read_text()}# also mine\n")
    with pytest.raises(RecipeError, match="comments"):
        app.sweep(tiny, site, sets=["optim.lr=0.1,0.2", "about.title=U"], seeds=[0, 1])
    assert len({stage.member.cell for stage in app.plan(made.path, site).stages}) == 3
    broken = app.sweep(tiny, site, sets=["optim.lr=0.1,\n0.2"], name="broken")
    assert len({stage.member.cell for stage in app.plan(broken.path, site).stages}) == 3
    with pytest.raises(RecipeError, match="another sweep of this name"):
        app.sweep(tiny, site, sets=["optim.lr=0.1,0.3"], seeds=[0, 1])


@pytest.mark.parametrize(
    ("actions", "hours"),
    [(("run", "run"), 2.0), (("skip", "run"), None), (("resume", "run"), None)],
)
def test_hours_are_those_of_whole_runs(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, actions: tuple[str, ...], hours: float | None
) -> None:
    """What is left of a run that has begun says nothing of the others."""
    stages = [SimpleNamespace(action=action) for action in actions]
    one = SimpleNamespace(stages=stages, is_beside=lambda _: False, hours=1.0)
    asked: list[str] = []

    def plan(*_: object, sets: list[str]) -> SimpleNamespace:
        asked[:] = sets
        return one

    monkeypatch.setattr("harness.app.planning.plan", plan)
    made = sweeping.draft(tiny, sets=["contrast.momentum=0.5,0.9", "optim.batch=16"])
    assert sweeping.hours(made, tiny, Site(Path("data"), Path("runs"), "cpu", 1, 0.0)) == hours
    assert asked == ["optim.batch=16", "contrast.momentum=0.5"], "a cell that the sweep has"
