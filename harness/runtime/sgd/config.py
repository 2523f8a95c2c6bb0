"""SGD's section of the recipe, and its declaration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.optim import Optim
from harness.recipe.section import Since
from harness.spec.declarations import Optimiser

OPTIMISER = Optimiser(
    kind="sgd",
    config="harness.runtime.sgd.config:SgdOptim",
    build="harness.runtime.sgd.optimiser:Sgd",
)


class SgdOptim(Optim):
    """SGD over all parameters, batch norm's and biases included (code: main_moco.py)."""

    kind: Annotated[Literal["sgd"], Since("0.2"), Field(title="optimiser")] = "sgd"
    sgd_momentum: Annotated[float, Field(ge=0, lt=1, title="momentum of SGD")] = 0.9
    """SGD's own momentum; the key encoder's is contrast.momentum."""
    weight_decay: Annotated[float, Field(ge=0, title="weight decay")] = 1e-4
    """L2 penalty (v1: 1e-4; demo: 5e-4)."""
