"""A training that is long enough to be disturbed: begun as a job, watched, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

from slurm.campaign import Campaign

from harness.store import journal
from harness.store.layout import StageFolder

STEPS = 480
LONG = ["--set", f"optim.epochs={STEPS // 4}", "--set", "linear=null"]
"""Some seconds of work: time for more than one start of a job."""


def begun(campaign: Campaign, steps: int = 8) -> str:
    """Submit a long run; its job, once it has made so many steps."""
    campaign.moco("run", "tiny.yaml", *LONG)
    reaches(campaign, steps)
    number = campaign.submissions()[-1].arrays[0].job
    assert number is not None
    return number


def reached(campaign: Campaign) -> int:
    """The last step in the journal; 0 if there is none."""
    if not list(campaign.runs.glob("*.pretrain-*")):
        return 0
    return max([0, *(r["step"] for r in journal.read(campaign.stage("pretrain")))])


def reaches(campaign: Campaign, steps: int) -> None:
    campaign.wait(lambda: reached(campaign) >= steps, f"{steps} steps")


def goes_on(campaign: Campaign, steps: int = 8) -> None:
    """Wait for so many more steps than there are."""
    reaches(campaign, reached(campaign) + steps)


class Held:
    """The process that runs a stage, stopped until the block ends or SLURM lets it go on."""

    def __init__(self, stage: StageFolder) -> None:
        self._pid = json.loads((stage.attempts()[-1] / "alive.json").read_text())["pid"]

    def warned(self) -> bool:
        """Whether SIGUSR2 waits for it, or has ended it."""
        try:
            lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        except OSError:
            return True
        masks = [line.split()[1] for line in lines if line.startswith("ShdPnd:")]
        return not masks or bool(int(masks[0], 16) >> (signal.SIGUSR2 - 1) & 1)

    def __enter__(self) -> Held:
        self._signal(signal.SIGSTOP)
        return self

    def __exit__(self, *_: object) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)


def ends(attempt: Path) -> tuple[str, int]:
    """(how an attempt ended, the restart of its job that it was)."""
    how = json.loads((attempt / "ended.json").read_text())["how"]
    return how, json.loads((attempt / "alive.json").read_text())["slurm"]["restart"]


def finishes(campaign: Campaign) -> StageFolder:
    """The pre-training, once all is done."""
    campaign.wait(lambda: campaign.results().get("tiny-s0.knn"), "kNN")
    return campaign.stage("pretrain")
