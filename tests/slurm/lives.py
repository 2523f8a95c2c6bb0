"""A training that is long enough to be disturbed: begun as a job, watched, and ended."""

from __future__ import annotations

import json
from pathlib import Path

from slurm.campaign import Campaign

from harness.store import journal
from harness.store.layout import StageFolder

STEPS = 240
LONG = ["--set", f"optim.epochs={STEPS // 4}", "--set", "linear=null"]
"""Some seconds of work: time for more than one life of a job."""


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


def ends(attempt: Path) -> tuple[str, int]:
    """(how an attempt ended, the restart of its job that it was)."""
    how = json.loads((attempt / "ended.json").read_text())["how"]
    return how, json.loads((attempt / "alive.json").read_text())["slurm"]["restart"]


def finishes(campaign: Campaign) -> StageFolder:
    """The pre-training, once all is done."""
    campaign.wait(lambda: campaign.results().get("tiny-s0.knn"), "kNN")
    return campaign.stage("pretrain")
