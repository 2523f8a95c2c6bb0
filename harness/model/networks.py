"""Find the residual networks in a file of weights, by tensor names, and choose one of them.

A network is found by a `conv1.weight` that belongs to no block. The text before it is the network's
prefix, e.g. "state_dict.module.encoder_q.". docs/weights.md lists the known prefixes with sources;
other prefixes are never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

WRAPPERS = ("state_dict", "model", "classy_state_dict", "base_model", "mechanism", "module",
            "_orig_mod")  # fmt: skip
"""Parts of a prefix that do not identify the network."""

KNOWN = ("encoder_q", "base_encoder", "encoder", "backbone", "query", "teacher", "student",
         "online_network", "online_encoder", "online", "trunk", "_feature_blocks")  # fmt: skip
"""Other parts of known prefixes."""

PREFERRED = (
    ("encoder_q", "encoder_k"),  # MoCo v1, v2
    ("base_encoder", "momentum_encoder"),  # MoCo v3
    ("query", "key"),  # this harness
    ("backbone", "momentum_backbone"),  # solo-learn
    ("backbone", "backbone_momentum"),  # lightly's examples
    ("encoder", "momentum_encoder"),  # solo-learn, its first versions
    ("teacher", "student"),  # DINO
    ("online_network", "target_network"),  # BYOL, and its implementations
    ("online_encoder", "target_encoder"),
    ("online", "target"),
)
"""(taken, left): if the prefixes of two networks differ in this part, take the one that the source
itself evaluates."""

HEADS = ("fc", "head", "heads", "classifier", "projector", "projection_head", "predictor",
         "prototypes", "prediction_head")  # fmt: skip
"""First parts of names that may stand under a network's prefix beside its backbone. Any other
belongs to a network that the recipe does not build."""

DEEPEST = 8
"""Most levels of nested dictionaries that are searched."""

_STEM = re.compile(r"(.*?)conv1\.weight")
_BLOCK = re.compile(r"(.*\.)?(layer\d+|blocks)\.\d+\..*")
_SEQUENCE = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""The numbered children of a Sequential, by their names in torchvision's ResNet."""


class NoNetwork(Exception):
    """No network of the file can be taken; says why, without the file's name."""


@dataclass(frozen=True)
class Network:
    """One network of a file."""

    prefix: str
    tensors: Mapping[str, Tensor]
    """The tensors under the prefix, by the rest of their names."""
    heads: Mapping[str, Mapping[str, Tensor]]
    """Each head that may belong to it, by its prefix in the file: tensors by the rest of names."""
    others: tuple[str, ...]
    """The prefixes of the file's other networks."""


def flat(content: Any) -> dict[str, Tensor]:
    """The tensors in nested dictionaries, by their full names."""
    return dict(_flat(content, "", DEEPEST))


def _flat(content: Any, before: str, deepest: int) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(content, dict) or not deepest:
        return
    for key, value in content.items():
        if isinstance(key, str):
            if isinstance(value, Tensor):
                yield before + key, value
            else:
                yield from _flat(value, f"{before}{key}.", deepest - 1)


def chosen(tensors: Mapping[str, Tensor], prefix: str | None) -> Network:
    """The network to take.

    Args:
        tensors: the file's, by their full names.
        prefix: the prefix that the recipe gives; None: it gives none.

    Raises:
        NoNetwork: there is none, or it is not clear which one to take.
    """
    tensors = dict(_named(tensors))
    found = [m[1] for m in map(_STEM.fullmatch, tensors) if m and not _BLOCK.fullmatch(m[1])]
    if not found:
        first = dict.fromkeys(name.split(".")[0] for name in tensors)
        raise NoNetwork(
            "contains no ResNet: no conv1.weight under any prefix (its names start with "
            f"{some(map(repr, first))})"
        )
    if prefix is not None:
        left = [each for each in found if _is_meant(each, prefix)]
        if len(left) != 1:
            raise NoNetwork(
                f"model.weights.prefix {prefix!r} matches {len(left) or 'no'} networks; existing "
                f"prefixes: {some(map(repr, found))}"
            )
    else:
        left = _preferred(found)
        if len(left) > 1:
            raise NoNetwork(
                f"contains {len(left)} networks, under {some(map(repr, left))}: choose one with "
                "model.weights.prefix"
            )
        if not _is_known(left[0]):
            known = ", ".join((*WRAPPERS, *KNOWN))
            raise NoNetwork(
                "contains no ResNet under a known prefix: conv1.weight is under "
                f"{some(map(repr, left))}; known are {known} and combinations; if it is the right "
                "network, set model.weights.prefix"
            )
    (own,) = left
    inside = {name[len(own) :]: each for name, each in tensors.items() if name.startswith(own)}
    heads: dict[str, dict[str, Tensor]] = {}
    for head in dict.fromkeys(_heads(own)):
        under = {n[len(head) :]: each for n, each in tensors.items() if n.startswith(head)}
        heads |= {head: under} if under else {}
    return Network(own, inside, heads, tuple(each for each in found if each != own))


def _named(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The tensors; those in a Sequential get the names of torchvision's ResNet."""
    sequences = {
        name.removesuffix("4.0.conv1.weight")
        for name in tensors
        if re.fullmatch(r"(.*\.)?4\.0\.conv1\.weight", name)
    }
    sequences = {each for each in sequences if f"{each}0.weight" in tensors}
    for name, tensor in tensors.items():
        for before in sequences:
            number, dot, rest = name.removeprefix(before).partition(".")
            if name.startswith(before) and number in _SEQUENCE:
                name = f"{before}{_SEQUENCE[number]}{dot}{rest}"
                break
        yield name, tensor


def _parts(prefix: str) -> list[str]:
    """The parts of the prefix that identify the network."""
    return [each for each in prefix.split(".") if each and each not in WRAPPERS]


def _is_known(prefix: str) -> bool:
    return all(each in KNOWN for each in _parts(prefix))


def _is_meant(found: str, said: str) -> bool:
    """Whether `found` is the given prefix, which may leave out the beginning."""
    said = said.rstrip(".")
    if not said:
        return not _parts(found)
    return f".{found}".endswith(f".{said}.")


def _preferred(found: list[str]) -> list[str]:
    """The prefixes, without networks that their source does not evaluate (see PREFERRED)."""
    there = [tuple(_parts(each)) for each in found]
    left = []
    for prefix, parts in zip(found, there, strict=True):
        partners = [
            (*parts[:n], taken, *parts[n + 1 :])
            for n, part in enumerate(parts)
            for taken, worse in PREFERRED
            if part == worse
        ]
        if not any(partner in there for partner in partners):
            left.append(prefix)
    return left


def _heads(prefix: str) -> Iterator[str]:
    """Prefixes where a network's head may be: under its own, or beside a backbone."""
    yield from (f"{prefix}fc.", f"{prefix}head.")
    before, _, last = prefix.rstrip(".").rpartition(".")
    before = f"{before}." if before else ""
    if "backbone" in last:
        yield f"{before}{last.replace('backbone', 'head')}."  # this harness
        yield f"{before}{last.replace('backbone', 'projection_head')}.layers."  # lightly
        yield f"{before}{last.replace('backbone', 'projector')}."  # solo-learn


def some(names: Iterable[str]) -> str:
    """The first of them, safe to show in a terminal."""
    every = [(name if name.isprintable() else ascii(name))[:80] for name in names]
    more = f" and {len(every) - 5} more" if len(every) > 5 else ""
    return ", ".join(every[:5]) + more


def looks_like(tensors: Mapping[str, Tensor]) -> str:
    """Describe a network of torchvision's kind by names and shapes, e.g. "blocks 3, 4, 23, 3 of
    three convolutions, stem of 64 channels, 7x7"; "" if they do not show it."""
    blocks: dict[str, set[str]] = {}
    for name in tensors:
        if found := re.match(r"(layer\d+)\.(\d+)\.", name):
            blocks.setdefault(found[1], set()).add(found[2])
    stem = tensors.get("conv1.weight")
    if not blocks or stem is None or stem.dim() != 4:
        return ""
    counts = ", ".join(str(len(blocks[layer])) for layer in sorted(blocks))
    deep = "three" if "layer1.0.conv3.weight" in tensors else "two"
    channels, kernel = stem.shape[0], "x".join(map(str, stem.shape[2:]))
    return f"blocks {counts} of {deep} convolutions, a stem of {channels} channels, {kernel}"
