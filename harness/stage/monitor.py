"""The kNN monitor of a pre-training: on the run's own data, or on those of one of its tasks."""

from __future__ import annotations

from dataclasses import dataclass

from harness.data.datasets import DataSet, open_data
from harness.recipe.schema import Knn
from harness.recipe.task import Data, TaskSection
from harness.stage.collective_wait import first_alone
from harness.stage.context import Context
from harness.stage.knn import check_neighbours


@dataclass(frozen=True)
class Monitor:
    """How kNN is measured during pre-training."""

    protocol: Knn
    data: DataSet
    size: int
    """Side of the views, in pixels."""


def of(context: Context) -> Monitor | None:
    """The monitor that the recipe asks for; None if kNN is not monitored.

    Raises:
        DataError: the task's data are missing or differ between the processes, or have fewer
            images than the greatest k.
    """
    recipe, protocol = context.recipe, context.recipe.monitor
    if protocol is None:
        return None
    own: Data | None = protocol.data if isinstance(protocol, TaskSection) else None
    data = context.data
    if own is not None:
        said = own  # one process downloads; the others then find the files
        opened = first_alone(
            lambda: open_data(said, context.data_root), context.world, context.stopping
        )
        context.world.same(f"the fingerprint of the monitor's data {opened.fingerprint}")
        data = opened.on(context.device)
    check_neighbours(protocol, data)
    return Monitor(protocol, data, (own or recipe.data).size)
