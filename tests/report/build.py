"""Synthetic ablations and the run folders that they would leave."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from harness.recipe.ablation import CONTROL, Ablation, Scale
from harness.recipe.expand import Expansion, Member
from harness.recipe.identity import described, record, spec, stage_id
from harness.recipe.schema import About, Recipe, Target
from harness.recipe.section import plain
from harness.report.curves import is_number
from harness.store.layout import StageFolder, stage_folder
from harness.track.mirror_state import MirrorState

EDITION = "aaaaaaaaaaaa"
OLDER = "bbbbbbbbbbbb"

RECIPE: dict[str, Any] = {
    "name": "base",
    "data": {"name": "embedded", "images": 2000, "size": 32},
    "augment": {},
    "model": {"backbone": "miniature", "bn_group": 16},
    "contrast": {"kind": "moco", "queue": 128, "momentum": 0.99, "temperature": 0.2},
    "optim": {"epochs": 10, "batch": 64, "lr": 0.06, "schedule": {"kind": "cosine"}},
    "knn": {"k": [200, 20]},
    "linear": {"epochs": 20, "lr": [30, 10], "drops": [12, 16]},
}

ABLATION: dict[str, Any] = {
    "name": "momentum",
    "title": "Momentum of the key encoder",
    "paper": "MoCo v1 (arXiv:1911.05722), Sec. 4.1",
    "setting": "ResNet-50, ImageNet-1M, K = 4096, 200 epochs",
    "source": "the paper's table",
    "confidence": "read",
    "metric": "linear/top1",
    "axis": "momentum m",
    "cells": [
        {"id": "m0", "label": "0", "set": {}, "printed": "fail"},
        {"id": "m0.9", "label": "0.9", "set": {}, "printed": 55.2},
        {"id": "m0.99", "label": "0.99", "set": {}, "printed": 57.8},
        {"id": "m0.999", "label": "0.999", "set": {}, "printed": 59.0},
    ],
    "claims": [
        {"kind": "fails", "id": "zero", "cell": "m0", "says": "Without momentum training fails."},
        {"kind": "beats", "id": "slow", "cell": "m0.99", "over": "m0.9", "says": "Slow is better."},
        {
            "kind": "beats",
            "id": "learns",
            "cell": "m0.99",
            "over": CONTROL,
            "says": "It learns features.",
        },
        {
            "kind": "beats",
            "id": "slower",
            "cell": "m0.999",
            "over": "m0.99",
            "says": "Slower is better still.",
        },
    ],
}

MOMENTA = {"m0": 0.0, "m0.9": 0.9, "m0.99": 0.99, "m0.999": 0.999, CONTROL: 0.99}


def recipe(**changes: Any) -> Recipe:
    """RECIPE with dotted changes (dots as double underscores)."""
    found: dict[str, Any] = json.loads(json.dumps(RECIPE))
    for dotted, value in changes.items():
        *path, last = dotted.split("__")
        place = found
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value
    return _recipe(json.dumps(found))


@cache
def _recipe(text: str) -> Recipe:
    return Recipe.model_validate_json(text)


@cache
def _ablation(text: str) -> Ablation:
    return Ablation.model_validate_json(text)


@cache
def _scale(text: str) -> Scale:
    return Scale.model_validate_json(text)


@dataclass
class Bench:
    """An ablation at one scale, and a run root to fill."""

    runs: Path
    seeds: Sequence[int] = (0,)
    scale_changes: Mapping[str, Any] = field(default_factory=dict)
    ablation_changes: Mapping[str, Any] = field(default_factory=dict)
    recipe_changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ablation(self) -> Ablation:
        return _ablation(json.dumps({**ABLATION, **self.ablation_changes}))

    @property
    def scale(self) -> Scale:
        fields = {
            "name": "tiny",
            "ablation": "momentum",
            "recipe": "base.yaml",
            "seeds": list(self.seeds),
            "metric": "knn/top1",
            "margin": 2.0,
            **self.scale_changes,
        }
        return _scale(json.dumps(fields))

    @property
    def expansion(self) -> Expansion:
        wanted = [cell.id for cell in self.ablation.cells]
        if self.scale.cells is not None:
            wanted = [cell for cell in wanted if cell in self.scale.cells]
        wanted = [*[CONTROL] * self.scale.control, *(cell for cell in wanted if cell != CONTROL)]
        wanted += [each.id for each in self.scale.controls if each.id not in wanted]
        members = [Member(c, s, self.recipe(c, s)) for c in wanted for s in self.seeds]
        return Expansion(self.ablation, members)

    def recipe(self, cell: str, seed: int) -> Recipe:
        changes: dict[str, Any] = {
            "name": f"tiny.{cell}",
            "seed": seed,
            "contrast__momentum": MOMENTA.get(cell, 0.99),
            **self.recipe_changes,
        }
        if cell == CONTROL:
            changes["optim__epochs"] = 0
        if cell in [control.id for control in self.scale.controls]:
            changes |= {"optim__epochs": 0, "model__weights": {"file": "w.pth", "md5": "0" * 8}}
        made = recipe(**changes)
        targets = self.scale.targets.get(cell, ())
        return made.model_copy(update={"about": About(targets=targets)})

    def protocol(self, cell: str, seed: int) -> dict[str, Any]:
        """The kNN protocol of one run, as its journal has it."""
        knn = self.recipe(cell, seed).knn
        assert knn is not None
        return plain(knn)

    def folder(self, cell: str, seed: int, kind: str = "pretrain") -> StageFolder:
        return stage_folder(self.runs, stage_id(self.recipe(cell, seed), kind))

    def finish(
        self,
        cell: str,
        seed: int,
        knn: object,
        linear: object = None,
        *,
        edition: str | None = EDITION,
        fingerprint: str = "f1a9",
        pretext: float | None = None,
        **more: Any,
    ) -> None:
        """A whole run: pretrain with its journal, knn, and linear if it has a value."""
        common = {"edition": edition, "fingerprint": fingerprint, **more}
        self.pretrain(cell, seed, final=knn, pretext=pretext, **common)
        self.stage(cell, seed, "knn", {"knn/top1": knn, "knn/top1@k20": knn}, **common)
        if linear is not None:
            values = {"linear/top1": linear, "linear/top1@lr10": linear}
            self.stage(cell, seed, "linear", values, **common)

    def pretrain(
        self,
        cell: str,
        seed: int,
        *,
        final: object = 40.0,
        pretext: float | None = None,
        **more: Any,
    ) -> None:
        epochs = self.recipe(cell, seed).optim.epochs
        end = final if isinstance(final, int | float) else 10.0
        records: list[dict[str, Any]] = []
        protocol = self.protocol(cell, seed)
        if not epochs:  # the control is monitored once
            records.append({"step": 0, "epoch": 0.0, "knn/top1": end, "protocol": protocol})
        for step in range(1, epochs * 31 + 1):
            epoch = step / 31
            loss = 6.2 * (1 + 0.02 * (seed % 10) + 1e-6 * seed) / (1 + epoch / 5)
            records.append({"step": step, "epoch": epoch, "t": 1e9 + step, "train/loss": loss})
            if step % 31 == 0:
                top1 = 12 + (end - 12) * (epoch / epochs) ** 0.5
                knn = {"knn/top1": top1, "knn/top1@k20": top1, "protocol": protocol}
                records.append({"step": step, "epoch": epoch, "t": 1e9 + step, **knn})
        more.setdefault("records", records)
        values = {} if pretext is None else {"pretext/top1": pretext}
        losses = [r["train/loss"] for r in more["records"] if is_number(r.get("train/loss"))]
        if losses:
            last = more["records"][-1]
            losses = losses[-round(last["step"] / last["epoch"]) :]  # of the last epoch
            values["train/loss"] = sum(losses) / len(losses)
        self.stage(cell, seed, "pretrain", values, **more)

    def stage(
        self,
        cell: str,
        seed: int,
        kind: str,
        values: Mapping[str, object] | None,
        *,
        state: str | None = "finished",
        edition: str | None = EDITION,
        fingerprint: str = "f1a9",
        message: str = "",
        records: Sequence[Mapping[str, Any]] = (),
        attempt: int = 1,
        provenance: Mapping[str, Any] | None = None,
        weights: str | None = None,
    ) -> StageFolder:
        """One stage as the trainer leaves it; `state` None: without a result. `kind`: its name in
        the run."""
        folder = self.folder(cell, seed, kind)
        resolved = self.recipe(cell, seed)
        asked = spec(resolved, kind)
        folder.create(
            {
                "schema": 1,
                "id": folder.id,
                **record(resolved, kind),
                "name": resolved.name,
                "seed": seed,
                "parent": stage_id(resolved, asked.parent) if asked.parent else None,
                "recipe": described(resolved, kind),
            }
        )
        path = folder.path / "attempts" / f"{attempt:04d}"
        path.mkdir(exist_ok=True)
        data = {"name": "embedded", "fingerprint": fingerprint}
        words: dict[str, Any] = {
            "code": {"commit": "0123456789abcdef" * 2, "dirty": False},
            "packages": {"torch": "2.11.0", "numpy": "2.3.1"},
            "python": "3.13.1",
            "machine": {"host": "node7", "device": "cpu", "cores": 8, "threads": 4},
            "data": data,
            "slurm": {"SLURM_JOB_ID": "4711"},
            "started": f"2026-01-02T03:04:{seed:02d}Z",
        }
        if edition is not None:
            words["edition"] = edition.rpartition("+")[2]
        (path / "attempt.json").write_text(json.dumps({**words, **(provenance or {})}))
        if kind == "pretrain":
            MirrorState(f"w-{cell}-{seed}", "moco", mode="offline").save(folder, "wandb")
        if records:
            lines = "".join(json.dumps(record) + "\n" for record in records)
            (path / "metrics.jsonl").write_text(lines)
        if state is not None:
            result: dict[str, Any] = {
                "state": state,
                "values": dict(values or {}),
                "step": max((r["step"] for r in records), default=31 * resolved.optim.epochs),
                "message": message,
                "data": data,
                "attempt": attempt,
                "seconds": 60.0,
            }
            if edition is not None:
                result["edition"] = edition
            if weights is not None:
                result["weights"] = weights
            (folder.path / "result.json").write_text(json.dumps(result))
        return folder

    def diverge(self, cell: str, seed: int, **more: Any) -> None:
        """A pre-training whose loss stopped being finite; nothing was evaluated."""
        records: list[dict[str, Any]] = [
            {"step": s, "epoch": s / 31, "t": 1e9 + s, "train/loss": 6.2 + s / 50}
            for s in range(1, 94)
        ]
        records.append({"step": 94, "epoch": 94 / 31, "t": 1e9, "train/loss": float("nan")})
        more.setdefault("message", "the loss is nan at step 94")
        self.stage(cell, seed, "pretrain", {}, state="diverged", records=records, **more)


def target(value: float, tolerance: float = 1.0, metric: str = "knn/top1") -> Target:
    fields = {"metric": metric, "value": value, "tolerance": tolerance, "source": "three seeds"}
    return Target.model_validate_json(json.dumps(fields))


def momentum(runs: Path, seeds: Sequence[int] = (0, 1, 2)) -> Bench:
    """A finished momentum ablation with the paper's outcome: m = 0 fails, slow beats fast."""
    notes = ["The crop is smaller than the paper's."]
    about = {"title": "Momentum ablation, drawn images", "notes": notes}
    bench = Bench(runs, seeds, {"about": about, "untestable": {"slower": "Ten epochs are few."}})
    centre = {"m0.9": 38.0, "m0.99": 44.0, "m0.999": 44.5, CONTROL: 14.0}
    for n, seed in enumerate(seeds):
        bench.diverge("m0", seed)
        for place, (cell, value) in enumerate(centre.items()):
            knn = value + 0.3 * n + 0.2 * ((n + place) % 3)
            bench.finish(cell, seed, knn, knn + 10 - 0.4 * ((n * place) % 2))
    return bench
