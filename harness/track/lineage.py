"""What a finished stage read and made, as artifacts: data, weights, results.

Nothing of them is uploaded: an artifact names its content by an address in the run root and a
digest, both from the stage's records. So every stage that names the same content names the same
artifact, wherever the run root lies and whether or not the files are still there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from harness.errors import StoreError
from harness.store import atomic
from harness.store.layout import StageFolder, is_name
from harness.store.stale import INPUTS
from harness.track.metadata import summary
from harness.track.mirror_state import safe_name
from harness.track.protocol import Artifact

SCHEME = "moco-harness://"


def address(*parts: str) -> str:
    """The address of a content, e.g. moco-harness://data/cifar10/8f8231f554da."""
    return SCHEME + "/".join(quote(part, safe="") for part in parts)


def used(folder: StageFolder, result: Mapping[str, Any]) -> Iterator[Artifact]:
    """What the stage read: its data sets, its parent's or given weights."""
    seen = set()
    for key in INPUTS:
        about = result.get(key)
        if key == "weights" or not isinstance(about, dict):
            continue
        name, fingerprint = about.get("name"), about.get("fingerprint")
        if name and fingerprint and (name, fingerprint) not in seen:
            seen.add((name, fingerprint))
            yield _data(str(name), str(fingerprint), about)
    if (parent := folder.parent) is not None:
        if (above := made(parent)) is not None:
            yield above
        return
    inputs = result.get("inputs")
    given = inputs.get("weights") if isinstance(inputs, dict) else None
    if isinstance(given, dict) and given.get("sha256"):
        name = str(given.get("name"))
        source = StageFolder(folder.path.parent / name) if is_name(name) else None
        of_run = made(source) if source is not None and given.get("of") == "run" else None
        yield of_run or _given(name, str(given["sha256"]))


def made(folder: StageFolder) -> Artifact | None:
    """What the stage made: weights if it pre-trained, else a result; None if it has not finished.

    Raises:
        StoreError: its records are damaged.
    """
    result = folder.result
    if result is None:
        return None
    values = summary(result)
    weights, step = result.get("weights"), result.get("step")
    if folder.parent is None and isinstance(weights, str) and isinstance(step, int):
        file = f"step-{step:08d}-{weights}.pt"
        return Artifact(
            safe_name(f"weights-{folder.id}"),
            "model",
            references={file: address("runs", folder.id, "checkpoints", file)},
            metadata={**values, "weights": weights},
        )
    try:
        digest = hashlib.sha256(atomic.content(folder.path / "result.json")).hexdigest()[:12]
    except OSError as error:
        raise atomic.unread(error, folder.path / "result.json") from error
    return Artifact(
        safe_name(f"result-{folder.id}"),
        "evaluation",
        references={"result.json": address("runs", folder.id, "result.json", digest)},
        metadata=values,
    )


def made_or_none(folder: StageFolder) -> Artifact | None:
    """As `made`; None also for damaged records."""
    try:
        return made(folder)
    except StoreError:
        return None


def _data(name: str, fingerprint: str, about: Mapping[str, Any]) -> Artifact:
    plain = {k: v for k, v in about.items() if k != "path" and isinstance(v, str | int | float)}
    place = address("data", name, fingerprint)
    return Artifact(
        safe_name(f"data-{name}"), "dataset", references={"data": place}, metadata=plain
    )


def _given(name: str, digest: str) -> Artifact:
    short = name.rpartition("/")[2] or "weights"
    place = address("weights", short, digest)
    return Artifact(safe_name(f"weights-{short}"), "model", references={short: place})
