"""How the gate's trace and its tolerances are measured: the same seeds under other arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.app.checking import check
from harness.check.baseline import Baseline
from harness.check.trace import losses, make_trace, rounding
from harness.report.runs import Run
from harness.site import load_site

REFERENCE = "OMP_NUM_THREADS=1"
OTHERS = (
    "OMP_NUM_THREADS=2",
    "OMP_NUM_THREADS=4",
    "OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2",
    "OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default",
    "OMP_NUM_THREADS=1 ONEDNN_MAX_CPU_ISA=AVX2",
    "OMP_NUM_THREADS=1 ONEDNN_MAX_CPU_ISA=SSE41",
    "OMP_NUM_THREADS=1 MKL_CBWR=COMPATIBLE",
    "OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE",
)
"""Threads share out sums in other parts. The others choose kernels for older CPUs, of torch, oneDNN
and MKL; the last all of them."""

STEPS = 8
"""Measured; fewer are compared, see harness.check.trace.WIDEST."""

SHORT = (
    f"optim.steps={STEPS}", "knn=null", "linear=null", "watch.knn_epochs=0", "watch.control=false",
)  # fmt: skip
"""Changes to the recipe that leave its first steps as they are."""


def folder(n: int) -> str:
    """Of the runs under the reference settings (0), or under the n-th of OTHERS (from 1)."""
    return f"rounding-{n}"


def settings(said: str) -> dict[str, str]:
    """The environment variables of an entry of OTHERS."""
    return dict(word.split("=", 1) for word in said.split())


def read(recipe: Path, runs: Path, seeds: Sequence[int], sets: Sequence[str]) -> list[Run]:
    """The recipe's finished runs."""
    site = replace(load_site(), runs=runs, device="cpu")
    found = check([recipe], site, sets=sets, seeds=seeds, without_baseline=True)
    assert found is not None
    found.refuse()
    return [run for cell in found.cells for run in cell.runs]


def traced(
    baseline: Baseline, recipe: Path, work: Path, seeds: Sequence[int], sets: Sequence[str]
) -> Baseline:
    """The baseline with a trace of the first of `seeds`; the runs are in `work`."""
    short = [*sets, *SHORT]
    reference, *others = [
        read(recipe, work / folder(n), seeds, short) for n in range(1 + len(OTHERS))
    ]
    found = rounding(reference, REFERENCE, list(zip(OTHERS, others, strict=True)), STEPS)
    (whole,) = read(recipe, work / "runs", seeds[:1], sets)
    trace = make_trace(whole, found)
    short_losses = losses(reference[0])
    assert [short_losses[n] for n in range(1, 1 + len(trace.losses))] == [*trace.losses]
    (record,) = baseline.cells
    return baseline.model_copy(
        update={"cells": (record.model_copy(update={"trace": trace}),)},
    )
