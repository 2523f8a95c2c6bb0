"""What each of several processes does to run a recipe's stages."""

from __future__ import annotations

from pathlib import Path

from harness.launch.stage_record import describe
from harness.plan import make_plan
from harness.runtime.world import World
from harness.stage.execute import Job, execute
from harness.stage.reporter import Silent
from harness.store.layout import stage_folder


class Notes(Silent):
    """A reporter that keeps what the user is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def run_stages(world: World, recipe: str, runs: str) -> list[str]:
    """The recipe's stages that are not done, one after the other, as one process of `world`; its
    notes."""
    notes = Notes()
    for stage in make_plan(Path(recipe), (), Path(runs)).todo:
        folder = stage_folder(Path(runs), stage.id)
        if world.rank == 0:
            folder.create(describe(stage, "tiny"))
        world.barrier()
        job = Job(folder.path, Path("/nonexistent"), "cpu")
        execute(job, notes, lambda: False, world)
    return notes.told
