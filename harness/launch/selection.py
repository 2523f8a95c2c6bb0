"""Find the stages that a user means by a part of a name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from harness.command import Commands, line
from harness.errors import StoreError
from harness.store import submission
from harness.store.ledger import names

SHOWN = 8


def known(runs: Path) -> list[str]:
    """The ids of all stages that have a folder or were submitted.

    Raises:
        StoreError: the run root or a submission's record cannot be read.
    """
    return sorted({*names(runs), *submission.newest(submission.everything(runs))})


def one(word: str, ids: Collection[str], commands: Commands | None = None) -> str:
    """The stage whose id is `word`, or the only one that `word` names without its hash (a stage, or
    a run, or a task of a run), or the only one whose id contains `word`. A whole name wins over a
    part of others: a task's trials begin with its name.

    Raises:
        StoreError: there is none, or several.
    """
    if word in ids:
        return word
    _not_empty(word, commands)
    for meant in (_unhashed, name, _task, None):
        found = [id_ for id_ in ids if (word in id_ if meant is None else word == meant(id_))]
        if found:
            break
    if len(found) != 1:
        raise StoreError(_refusal(word, found, "stages", commands))
    return found[0]


def run(word: str, ids: Collection[str], commands: Commands | None = None) -> list[str]:
    """The stage whose id is `word`, else all stages of the only run whose ids contain `word`.

    Raises:
        StoreError: there is none, or they belong to several runs.
    """
    if word in ids:
        return [word]
    _not_empty(word, commands)
    own = [id_ for id_ in ids if name(id_) == word]
    found = own or [id_ for id_ in ids if word in id_]
    of = list(dict.fromkeys(map(name, found)))
    if len(of) != 1:
        raise StoreError(_refusal(word, of, "runs", commands))
    return found


def name(stage_id: str) -> str:
    """The run of a stage: its id without the task and the hash."""
    return stage_id.rpartition(".")[0] or stage_id


def recipe_name(run: str) -> str:
    """The name of a run's recipe: the run's without the seed."""
    return run.rpartition("-s")[0]


def _unhashed(stage_id: str) -> str:
    return stage_id.rpartition("-")[0]


def _task(stage_id: str) -> str:
    return _unhashed(stage_id).rpartition(".")[2]


def _not_empty(word: str, commands: Commands | None) -> None:
    """Refuse an empty word, which every name contains.

    Raises:
        StoreError: `word` is empty.
    """
    if not word.strip():
        raise StoreError(f"an empty name; {_all(commands)} lists the stages")


def _all(commands: Commands | None) -> str:
    words = "status", "--all"
    return line(*words) if commands is None else commands.line(*words)


def _refusal(word: str, found: Sequence[str], what: str, commands: Commands | None) -> str:
    if not found:
        return f"{word}: no such stage; {_all(commands)} lists them"
    shown = "\n".join(f"  {each}" for each in found[:SHOWN])
    rest = f"\n  and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{word}: matches {len(found)} {what}; give a longer part of one name:\n{shown}{rest}"
