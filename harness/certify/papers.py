"""Checks that need data: the CIFAR-10 demo's first epochs, and released weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from harness.certify.checks import begun, wait
from harness.data_check import check_data
from harness.launch.protocol import Testbed
from harness.plan import Plan, make_plan
from harness.recipe.find import shipped
from harness.site import Site
from harness.store import journal
from harness.store.certificate import Check
from harness.store.layout import stage_folder
from harness.store.ledger import read_entry

RECIPES = shipped("recipes")
EPOCHS = 10
STEPS = EPOCHS * (50_000 // 512)
POINTS = 0.5
"""Allowed difference of the probe of released weights from the published value, in points."""


@dataclass(frozen=True)
class Released:
    """Weights from the official repository's README."""

    file: str
    md5: str
    """Start of the file's digest, as published there."""
    recipe: str
    """A recipe of ours with the same network and probe."""
    top1: float
    """Linear-probe accuracy in percent, as published there."""


RELEASED = (
    Released("weights/moco_v1_200ep_pretrain.pth.tar", "b251726a", "moco_v1_imagenet.yaml", 60.6),
    Released("weights/moco_v2_200ep_pretrain.pth.tar", "59fd9945", "moco_v2_imagenet.yaml", 67.7),
    Released("weights/moco_v2_800ep_pretrain.pth.tar", "a04e12f8", "moco_v2_imagenet.yaml", 71.1),
)


def why_no_demo(testbed: Testbed, site: Site) -> str:
    """Why the demo cannot be run; "" if it can."""
    path = RECIPES / "cifar10_demo.yaml"
    if not testbed.cuda:
        return "it takes a GPU"
    if not path.exists():
        return f"{path} is missing: the harness was installed without its recipes"
    lacking = [p.says for p in check_data([_demo(site).stages[0].recipe], site.data) if not p.there]
    return "; ".join(lacking)


def demo(testbed: Testbed, site: Site) -> Check:
    """Compare the official CIFAR-10 demo's kNN accuracy after its first epochs with its own log."""
    name = "CIFAR-10 demo"
    if why := why_no_demo(testbed, site):
        return Check(name, "skipped", why)
    plan = _demo(site)
    _run(testbed, site, plan, 1)
    folder = stage_folder(site.runs, plan.stages[0].id)
    seen = [v for s, _, v in journal.series(journal.read(folder), "knn/top1") if s == STEPS]
    targets = plan.stages[0].recipe.about.targets
    wanted = next(target for target in targets if target.epoch == EPOCHS)
    if not seen:
        return Check(name, "failed", f"no kNN after epoch {EPOCHS}; see {folder.path}")
    fine = abs(seen[0] - wanted.value) <= wanted.tolerance
    says = (
        f"kNN {seen[0]:.2f} after epoch {EPOCHS}; {wanted.value:g} in the official log, "
        f"{wanted.tolerance:g} allowed"
    )
    figures = {"knn/top1": seen[0], "official": wanted.value}
    return Check(name, "passed" if fine else "failed", says, figures)


def _demo(site: Site) -> Plan:
    made = make_plan(
        RECIPES / "cifar10_demo.yaml", [f"optim.steps={STEPS}", "watch.control=false"], site.runs
    )
    return replace(made, stages=tuple(s for s in made.stages if s.kind == "pretrain"))


def available_weights(testbed: Testbed, site: Site) -> list[Released] | str:
    """The released weights under the data root; or why they cannot be checked."""
    found = [each for each in RELEASED if (site.data / each.file).is_file()]
    if not found:
        names = ", ".join(each.file for each in RELEASED)
        return f"none of the released weights ({names}) is in {site.data}"
    lacking = [part for part in ("train", "val") if not (site.data / "imagenet" / part).is_dir()]
    if lacking:
        return f"ImageNet is missing: no {' and no '.join(lacking)} in {site.data}/imagenet"
    if not testbed.cuda:
        return "the probe on ImageNet takes a GPU"
    absent = [each.recipe for each in found if not (RECIPES / each.recipe).exists()]
    if absent:
        return f"the harness was installed without its recipes ({', '.join(absent)})"
    return found


def released(testbed: Testbed, site: Site) -> list[Check]:
    """Evaluate released weights with our linear probe, and compare with the published values."""
    found = available_weights(testbed, site)
    if isinstance(found, str):
        return [Check("released weights", "skipped", found)]
    return [_probe(each, testbed, site) for each in found]


def _probe(each: Released, testbed: Testbed, site: Site) -> Check:
    name = Path(each.file).name.partition(".")[0]
    with (site.data / each.file).open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not md5.startswith(each.md5):
        says = f"{each.file} has the MD5 {md5[:8]}, not {each.md5}: a different or damaged file"
        return Check(name, "failed", says)
    weights = f"model.weights={{file: {each.file}, sha256: {sha256}}}"
    sets = [f"name={name}", "optim.epochs=0", weights, "watch.control=false"]
    plan = make_plan(RECIPES / each.recipe, sets, site.runs)
    _run(testbed, site, replace(plan, name=name), testbed.processes)
    (stage,) = (stage for stage in plan.stages if stage.kind == "linear")
    result = read_entry(stage_folder(site.runs, stage.id)).result or {}
    top1 = result.get("values", {}).get("linear/top1")
    if top1 is None:
        why = result.get("message") or "the probe has no accuracy"
        return Check(name, "failed", f"no linear/top1: {why}", {"sha256": sha256})
    fine = abs(top1 - each.top1) <= POINTS
    says = f"linear probe {top1:.2f}; {each.top1:g} stated, {POINTS:g} allowed"
    figures: dict[str, float | int | str] = {"linear/top1": top1, "stated": each.top1}
    figures["sha256"] = sha256
    return Check(name, "passed" if fine else "failed", says, figures)


def _run(testbed: Testbed, site: Site, plan: Plan, processes: int) -> None:
    """Run what is left of the plan; an interrupted run resumes."""
    if plan.todo:
        folders = [stage_folder(site.runs, stage.id) for stage in plan.todo]
        with begun(testbed, site, [plan], [processes]) as works:
            wait(works, lambda: all(folder.result is not None for folder in folders))
