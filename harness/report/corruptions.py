"""ImageNet-C: the mean corruption error, where each corruption and severity is a task."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from harness.recipe.ablation import Metric
from harness.recipe.identity import canonical
from harness.report.collect import Results
from harness.report.measures import measure
from harness.report.runs import Run
from harness.spec.registry import task

ALEXNET = {
    "gaussian_noise": 88.6428,
    "shot_noise": 89.4468,
    "impulse_noise": 92.2640,
    "defocus_blur": 81.9880,
    "glass_blur": 82.6268,
    "motion_blur": 78.5948,
    "zoom_blur": 79.8360,
    "snow": 86.6816,
    "frost": 82.6572,
    "fog": 81.9324,
    "brightness": 56.4592,
    "contrast": 85.3204,
    "elastic_transform": 64.6056,
    "pixelate": 71.7840,
    "jpeg_compression": 60.6500,
}
"""AlexNet's top-1 error in percent, the mean over the severities 1 to 5 (Hendrycks and Dietterich,
arXiv:1903.12261; code: hendrycks/robustness)."""

CLASSES = 1000
"""ImageNet's. AlexNet's errors are among so many."""

SEVERITIES = 5
_FOLDER = re.compile(
    r"(?P<place>.*?)(?:(?:^|/)(?:noise|blur|weather|digital))?/?"
    rf"\b(?P<corruption>{'|'.join(ALEXNET)})/(?P<severity>[1-{SEVERITIES}])/?"
)


@dataclass(frozen=True)
class Corruptions:
    """The errors of one cell's runs on all corruptions at all severities, in percent."""

    cell: str
    label: str
    metric: Metric
    place: str
    """The folder of the corruptions."""
    error: float
    """Mean corruption error, not normalised: over corruptions and severities, and over seeds."""
    mce: float | None
    """mCE: each corruption's summed error over AlexNet's, the mean over corruptions and seeds, in
    percent. None: the classes are not ImageNet's."""
    seeds: int
    """Seeds with all of their errors."""
    of: int
    """Seeds of the cell."""


Key = tuple[Metric, str, str]
"""Metric, folder of the corruptions, protocol."""


def corruptions(results: Results) -> list[Corruptions]:
    """One for each cell, metric and protocol; none where one of the 75 errors is missing."""
    found = []
    for cell in results.cells:
        seeds: dict[Key, list[_Errors]] = {}
        for run in cell.runs:
            for key, errors in _complete(results, run):
                seeds.setdefault(key, []).append(errors)
        for (metric, place, _), each in seeds.items():
            error = fmean(fmean(errors.means.values()) for errors in each)
            of_alexnet = [
                100 * mean / ALEXNET[name] for errors in each for name, mean in errors.means.items()
            ]
            mce = fmean(of_alexnet) if all(errors.of_imagenet for errors in each) else None
            found.append(
                Corruptions(
                    cell.id, cell.label, metric, place, error, mce, len(each), len(cell.runs)
                )
            )
    return found


def corruption_lines(results: Results) -> list[str]:
    """`corruptions` in words."""
    lines = []
    for each in corruptions(results):
        what = f"{measure(each.metric).label} on {each.place or 'the corruptions'}"
        whose = f" of “{each.label}”" if len(results.cells) > 1 else ""
        mce = f", mCE {each.mce:.2f} % (AlexNet: 100 %)" if each.mce is not None else ""
        some = f"{each.seeds} of {each.of}" if each.seeds < each.of else f"{each.seeds}"
        seeds = f", mean of {some} seeds" if each.of > 1 else ""
        lines.append(f"{what}{whose}: mean corruption error {each.error:.2f} %{mce}{seeds}")
    return lines


@dataclass(frozen=True)
class _Errors:
    """All errors of one run."""

    means: dict[str, float]
    """Corruption -> mean over the severities, in percent."""
    of_imagenet: bool
    """Whether the classes are as many as ImageNet's."""


def _complete(results: Results, run: Run) -> Iterator[tuple[Key, _Errors]]:
    """The run's errors for each protocol by which all were measured."""
    measured: dict[Key, dict[tuple[str, str], float]] = {}
    classes: dict[Key, set[object]] = {}
    for name, said in run.recipe.tasks.items():
        data = said.data
        match = _FOLDER.fullmatch(data.test or "") if data is not None else None
        if data is None or match is None or data.test_view != "whole":
            continue
        plain = said.model_dump(mode="json")
        protocol = canonical(plain | {"data": plain["data"] | {"test": None}})
        for metric in task(said.kind).reported:
            value = results.value(run, metric, name)
            if not metric.endswith("/top1") or value.standing != "finished" or value.value is None:
                continue
            key = metric, match["place"], protocol
            at = match["corruption"], match["severity"]
            measured.setdefault(key, {})[at] = 100 - value.value
            for stage in run.behind(metric, name):
                of = (stage.entry.result or {}).get("data")
                classes.setdefault(key, set()).add(of.get("classes") if isinstance(of, dict) else 0)
    numbers = [str(n + 1) for n in range(SEVERITIES)]
    for key, errors in measured.items():
        if len(errors) == len(ALEXNET) * SEVERITIES:
            means = {name: fmean(errors[name, n] for n in numbers) for name in ALEXNET}
            yield key, _Errors(means, classes[key] == {CLASSES})
