"""Read a report's numbers back from its results.json, and check what a comparison reads of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from harness.errors import StoreError
from harness.recipe.claims import By
from harness.report.claims import Verdict
from harness.report.results_json import FILE, FORMAT, Report
from harness.report.runs import Standing
from harness.store import atomic

PLACE = 6
"""Most parts of a place in results.json that a message names."""


class _Checked(BaseModel):
    """Further keys are allowed: a comparison does not read all of them."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Seed(_Checked):
    seed: int
    state: Standing | Literal["stale"]
    value: float | None
    detail: str

    @model_validator(mode="after")
    def _has_its_value(self) -> _Seed:
        if self.state == "finished" and self.value is None:
            raise ValueError("finished without a value")
        return self


class _Metric(_Checked):
    protocol: dict[str, Any]
    seeds: list[_Seed]


class _Stage(_Checked):
    id: str


class _Run(_Checked):
    seed: int
    stages: dict[str, _Stage]


class _Cell(_Checked):
    id: str
    label: str
    data: list[str]
    metrics: dict[str, _Metric]
    further: dict[str, dict[str, _Metric]] = {}
    runs: list[_Run]


class _Claim(_Checked):
    id: str
    by: By
    says: str
    verdict: Verdict
    in_words: str


class _Cost(_Checked):
    model_config = ConfigDict(extra="forbid")
    device: str
    hours: float


class _Scale(_Checked):
    here: str


class _Basis(_Checked):
    edition: str
    data: list[str]


class _Report(_Checked):
    name: str
    title: str
    metric: str
    margin: float | None
    seeds: list[int]
    scale: _Scale
    basis: _Basis | None
    cells: list[_Cell]
    claims: list[_Claim]
    cost: list[_Cost]
    commits: list[str]
    environments: list[str]
    warnings: list[str]


def read_report(path: Path) -> Report:
    """The numbers of a report: its results.json, or the folder that holds it.

    Raises:
        StoreError: there is no such report, or it is of another version or damaged.
    """
    file = path / FILE if path.is_dir() else path
    found = atomic.read_json(file)
    if found is None:
        raise StoreError(f"{path}: not a report; name a report's folder, its {FILE}, or a run root")
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise StoreError(
            f"{file}: not a report of this version (format {FORMAT}); write it again with "
            "`moco-harness report`"
        )
    try:
        _Report.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][:PLACE]))
        raise StoreError(
            f"{file}: damaged ({where} is not as this version writes it); write it again with "
            "`moco-harness report`"
        ) from error
    return found
