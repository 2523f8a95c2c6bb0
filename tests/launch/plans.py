"""Plans of a few words: what is to be done with each kind of stage of each run."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from miniature_recipe import MINIATURE

from harness.estimate import Computer
from harness.plan import Action, Plan, PlannedStage
from harness.recipe.expand import Member
from harness.recipe.identity import stage_id
from harness.recipe.schema import Recipe
from harness.store.layout import stage_folder
from harness.store.ledger import Entry

RECIPE = {"name": "tiny", **yaml.safe_load(MINIATURE)}
KINDS: tuple[str, ...] = ("pretrain", "knn", "linear")


def recipe(seed: int) -> Recipe:
    return Recipe.model_validate_json(json.dumps({**RECIPE, "seed": seed}))


def plan(*runs: str) -> Plan:
    """plan("run run run", "skip run -"): run n has seed n; "-" for a kind that it does not have."""
    stages = []
    for seed, words in enumerate(runs):
        made = recipe(seed)
        for kind, word in zip(KINDS, words.split(), strict=True):
            if word != "-":
                action: Action = word  # type: ignore[assignment]
                name = stage_id(made, kind)
                entry = Entry(stage_folder(Path("runs"), name), "absent")
                member = Member("", seed, made)
                stages.append(PlannedStage(member, kind, kind, name, entry, action, "", None))
    return Plan("tiny", Path("tiny.yaml"), None, None, tuple(stages), Computer("cpu"))


def short(stage: str) -> str:
    """p0, k0, l0: kind and seed of a stage's id."""
    return stage.split(".")[1][0] + stage.split("-s")[1].split(".")[0]


def full(word: str) -> str:
    """The id of a stage by its short name."""
    kind = next(kind for kind in KINDS if kind[0] == word[0])
    return stage_id(recipe(int(word[1:])), kind)
