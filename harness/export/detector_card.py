"""The model card of a whole detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.export.card import cell, commit
from harness.export.detector import TrainedDetector
from harness.export.measured import Measured
from harness.output import inert
from harness.recipe.identity import digest
from harness.recipe.schema import Recipe
from harness.recipe.section import plain
from harness.recipe.yaml_text import render
from harness.redact import redact
from harness.store.ledger import Entry

EXTRA_NORM = (
    "`Res5ROIHeadsExtraNorm` is not detectron2's own: the detection/train_net.py of "
    "facebookresearch/moco registers it. Import it before the model is built.\n\n"
)


@dataclass(frozen=True)
class DetectorCard:
    """Facts of a detector whose weights are exported."""

    entry: Entry
    network: TrainedDetector
    recipe: Recipe
    measured: Sequence[Measured]
    """Of the run; those of other stages are left out."""

    @property
    def notes(self) -> list[str]:
        """What users of the weights need to know."""
        return [f"terms: {self._terms}"]

    @property
    def facts(self) -> dict[str, str]:
        """What the weights are."""
        result, section, model = self.entry.result or {}, self.network.section, self.recipe.model
        boxes = result.get("boxes", {})
        found = {
            "detector": f"{section.detector} on {model.backbone}, layout {model.layout}",
            "classes": f"{self.network.classes}, in the data set's order, without background",
            "data": f"{boxes.get('name')}, {boxes.get('train')} training images",
            "data fingerprint": str(boxes.get("fingerprint")),
            "steps": f"{result.get('step')} of {section.batch} images",
            "initial weights": self._initial,
            "running statistics": f"the mean over {section.precise_bn} batches after the last step"
            if section.precise_bn
            else "a moving average",
        }
        own = [each for each in self.measured if self.entry.folder.id in each.says]
        found |= {each.label: each.says for each in own}
        return found | {
            "recipe": self.recipe.name,
            "recipe digest": digest(plain(self.recipe)),
            "seed": str(self.recipe.seed),
            "stage": self.entry.folder.id,
            "edition": str(result.get("edition")),
            "commit": commit(self.entry.folder),
            "checkpoint": str(result.get("trained")),
            "terms": self._terms,
        }

    @property
    def _initial(self) -> str:
        model, optim = self.recipe.model, self.recipe.optim
        given = model.weights.named if model.weights is not None else ""
        trained = f"{self.recipe.contrast.kind}, {optim.epochs} epochs" if optim.epochs else ""
        return " from ".join(filter(None, (trained, given))) or "random"

    @property
    def _terms(self) -> str:
        return (
            "those of the detection data, of the pre-training data and of given weights apply; "
            "moco-harness adds none"
        )

    def page(self, settings: str, file: str, sha256: str) -> str:
        """README.md of the folder.

        Args:
            settings: detectron2's, as YAML.
            file: name of the weights' file; `sha256`: its digest.
        """
        rows = {**self.facts, "file": f"`{file}`", "SHA-256": f"`{sha256}`"}
        table = "\n".join(f"| {key} | {cell(value)} |" for key, value in rows.items())
        extra = EXTRA_NORM if "Res5ROIHeadsExtraNorm" in settings else ""
        front = {"library_name": "detectron2", "license": "unknown"}
        front |= {"pipeline_tag": "object-detection"}
        return inert(
            redact(
                f"---\n{render(front)}---\n"
                f"# {self.recipe.name}, seed {self.recipe.seed}\n\n"
                "A whole detector. Exported for detectron2 by moco-harness.\n\n## Use\n\n"
                "```python\nfrom detectron2.config import get_cfg\n\n"
                'cfg = get_cfg()\ncfg.merge_from_file("config.yaml")\n```\n\n'
                "The file's settings differ from detectron2's defaults in:\n\n"
                f"```yaml\n{settings}```\n\n{extra}"
                "The weights have detectron2's own names, so it matches none by heuristics. The "
                "file is a pickle: load it only if you trust its source.\n\n"
                f"## Facts\n\n| | |\n|---|---|\n{table}\n\n"
                f"## Recipe\n\n```yaml\n{render(plain(self.recipe))}```\n"
            )
        )
