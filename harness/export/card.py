"""The model card: describes the exported weights, with facts that lead back to their run."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.export.formats import Format
from harness.export.measured import Measured
from harness.output import inert
from harness.recipe.identity import digest
from harness.recipe.schema import Recipe
from harness.recipe.section import last_part
from harness.recipe.yaml_text import render
from harness.redact import redact
from harness.store import atomic, provenance
from harness.store.layout import StageFolder

IMAGENET_TERMS = "https://image-net.org/download"
_OF_IMAGENET = re.compile(r"imagenet|ilsvrc|imagewoof", re.IGNORECASE)
STRIDES = {
    "torchvision": "in the 3x3 convolution of a block, as torchvision has it",
    "msra": "in the first 1x1 convolution of a block",
}
LIBRARY = {
    Format.torchvision: "pytorch",
    Format.timm: "timm",
    Format.detectron2: "detectron2",
    Format.transformers: "transformers",
}


@dataclass(frozen=True)
class ModelCard:
    """Facts of a pre-training whose weights are exported."""

    folder: StageFolder
    recipe: Recipe
    plain: Mapping[str, Any]
    """The resolved recipe, as in stage.json."""
    result: Mapping[str, Any]
    measured: Sequence[Measured]
    key: bool
    head: bool
    mean: Sequence[float]
    std: Sequence[float]
    statistics: str
    """Whose running statistics batch norm uses, in words."""
    lent: bool
    """Whether the statistics are another encoder's."""

    @property
    def notes(self) -> list[str]:
        """What users of the weights need to know."""
        found = [f"running statistics: {self.statistics}"] if self.lent else []
        if not self.recipe.optim.epochs:
            what = f"the given weights {self._given}" if self._given else "random initial weights"
            found.append(f"not trained here: these are {what}")
        return [*found, f"terms: {self.terms}"]

    @property
    def facts(self) -> dict[str, str]:
        """The facts that a file of weights can hold, as texts."""
        recipe, result = self.recipe, self.result
        data, model = result.get("data", {}), recipe.model
        section = dict(self.plain["contrast"])
        whole = model.bn_group == recipe.optim.batch
        found = {
            "method": f"{section.pop('kind')} {render(section, flow=True)}",
            "encoder": "key" if self.key else "query",
            "backbone": model.backbone + (f", width x{model.width}" if model.width > 1 else ""),
            "head": f"{model.head}, {model.dim} outputs" if self.head else "not exported",
            "epochs": str(recipe.optim.epochs),
            "steps": f"{result.get('step')} of {recipe.optim.batch} images",
            "initial weights": self._given or "random",
            "data": f"{data.get('name')}, {data.get('train')} training images",
            "data fingerprint": str(data.get("fingerprint")),
            "channel order": "BGR" if model.layout == "msra" else "RGB",
            "mean": _listed(self.mean),
            "std": _listed(self.std),
            "image size": f"{recipe.data.size} pixels",
            "stride": STRIDES[model.layout],
            "batch norm group": f"{model.bn_group} images"
            + (", the whole batch" if whole else f" of a batch of {recipe.optim.batch}"),
            "running statistics": self.statistics,
        }
        counts = Counter[str]()
        for each in self.measured:
            counts[each.label] += 1
            again = f", {counts[each.label]}" if counts[each.label] > 1 else ""
            said = "none (measured was the query encoder)" if self.key else each.says
            found[each.label + again] = said
        return found | {
            "recipe": recipe.name,
            "recipe digest": digest(self.plain),
            "seed": str(recipe.seed),
            "stage": self.folder.id,
            "edition": str(result.get("edition")),
            "commit": commit(self.folder),
            "checkpoint": str(result.get("weights")),
            "terms": self.terms,
        }

    @property
    def terms(self) -> str:
        """The terms of use that the data sets for the weights, as far as known."""
        said = []
        if self._is_of_imagenet:
            said.append(
                "the data is (a part of) ImageNet, whose terms allow only non-commercial research "
                "and education"
            )
        else:
            said.append("the terms of the training data apply; moco-harness adds none")
        if self._given:
            said.append("and the terms of the initial weights")
        return ", ".join(said)

    @property
    def _given(self) -> str:
        """The file or the run of the initial weights; "" if they were random."""
        weights = self.recipe.model.weights
        return weights.named if weights is not None else last_part(self.recipe.continue_from or "")

    @property
    def _is_of_imagenet(self) -> bool:
        return bool(_OF_IMAGENET.search(self.recipe.data.folder or self.recipe.data.name))

    @property
    def metadata(self) -> dict[str, str]:
        """The facts and the whole recipe, for a file format with text metadata."""
        named = {key.replace(" ", "_"): value for key, value in self.facts.items()}
        named["recipe_resolved"] = json.dumps(self.plain, separators=(",", ":"))
        return {key: inert(redact(value)) for key, value in named.items()}

    def page(self, form: Format, usage: str, file: str, sha256: str) -> str:
        """README.md of the folder.

        Args:
            usage: Markdown that says how to load the file.
            file: name of the weights' file; `sha256`: its digest.
        """
        rows = {**self.facts, "file": f"`{file}`", "SHA-256": f"`{sha256}`"}
        table = "\n".join(f"| {key} | {cell(value)} |" for key, value in rows.items())
        return inert(
            redact(
                f"{self._front(form)}# {self.recipe.name}, seed {self.recipe.seed}\n\n"
                f"{self._summary} Exported for {form.value} by moco-harness.\n\n"
                f"## Use\n\n{usage}\n{self._input}\n\n"
                f"## Facts\n\n| | |\n|---|---|\n{table}\n\n"
                f"## Recipe\n\n```yaml\n{render(dict(self.plain))}```\n"
            )
        )

    @property
    def _summary(self) -> str:
        recipe = self.recipe
        what = f"The {'key' if self.key else 'query'} encoder's backbone"
        what += " and projection head" if self.head else ""
        if recipe.optim.epochs:
            how = "trained with" if recipe.contrast.labels else "pre-trained without"
            return f"{what}, {how} labels; epochs: {recipe.optim.epochs}."
        if self._given:
            return f"{what}: the given weights {self._given}, without further training."
        return f"{what} at its **random initial weights**: a control, not a trained network."

    @property
    def _input(self) -> str:
        """The input that the network takes."""
        mean, std = (_listed(each) for each in (self.mean, self.std))
        if self.recipe.model.layout == "msra":
            return f"Input: BGR images from 0 to 255, minus 255 times the mean ({mean}, of RGB)."
        return (
            f"Input: RGB images of {self.recipe.data.size} pixels in [0, 1], minus the mean "
            f"({mean}), divided by the standard deviation ({std})."
        )

    def _front(self, form: Format) -> str:
        front: dict[str, Any] = {"library_name": LIBRARY[form]}
        if self._is_of_imagenet:
            front |= {
                "license": "other",
                "license_name": "imagenet-non-commercial",
                "license_link": IMAGENET_TERMS,
            }
        else:
            front["license"] = "unknown"
        front |= {"pipeline_tag": "image-feature-extraction"}
        method = self.recipe.contrast
        how = () if method.labels else ("self-supervised",)
        front |= {"tags": [*how, method.kind, LIBRARY[form]]}
        return f"---\n{render(front)}---\n"


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def cell(text: str) -> str:
    """Text escaped for a table's cell."""
    return html.escape(text, quote=False).replace("|", "\\|").replace("\n", " ")


def commit(folder: StageFolder) -> str:
    """The commit of the stage's last attempt, from its provenance."""
    attempts = folder.attempts()
    found = atomic.read_json(attempts[-1] / "attempt.json") if attempts else None
    code = found.get("code") if isinstance(found, dict) else None
    if not isinstance(code, dict) or not code.get("commit"):
        return "unknown"
    return ", ".join(filter(None, (str(code["commit"]), provenance.changes(code))))
