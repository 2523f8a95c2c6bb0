"""The mutants, and how one is planted: in this process or in a copy of the source."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

ORACLE = "tests/methods/test_moco.py::test_trajectory_equals_the_oracles"
JITTER = "tests/data/test_parameters.py::test_jitter_is_distributed_as_torchvisions"
FEATURES = "tests/evaluate/test_features.py::test_features_are_those_of_one_image_at_a_time"
NEIGHBOURS = "tests/stage/test_evaluation.py::test_knn_asks_the_test_images_of_the_training_images"
MONITOR = "tests/stage/test_evaluation.py::test_the_monitor_measures_the_query_encoder"
CROPS = "tests/stage/test_evaluation.py::test_crops_are_encoded_as_the_frozen_encoder_does"
PROBED = "tests/stage/test_evaluation.py::test_the_probe_is_judged_on_the_test_images"


@dataclass(frozen=True)
class Mutant:
    """One flaw."""

    name: str
    module: str
    """Of the harness, e.g. methods.moco.method."""
    edits: tuple[tuple[str, str], ...]
    """(what stands there once, what stands there instead)"""
    test: str = ORACLE
    """The test that must catch it."""

    @property
    def path(self) -> Path:
        """Its module's file, in a source tree."""
        return Path("harness", *self.module.split(".")).with_suffix(".py")

    def of(self, source: str) -> str:
        """The flawed source."""
        for old, new in self.edits:
            assert source.count(old) == 1, f"{self.name}: {old!r} stands {source.count(old)} times"
            source = source.replace(old, new)
        return source


AVERAGE = "self.average.step(self.momentum)"
RETURNS = "        return *info_nce("

MUTANTS = (
    Mutant(
        "temperature of the positive alone",
        "methods.info_nce",
        (("scaled @ negatives.T", "query @ negatives.T"),),
    ),
    Mutant(
        "m and 1 - m swapped",
        "methods.moco.method",
        ((AVERAGE, "self.average.step(1 - self.momentum)"),),
    ),
    Mutant(
        "moving average never applied",
        "methods.moco.method",
        ((AVERAGE, "self.average.step(1.0)"),),
    ),
    Mutant(
        "keys left shuffled",
        "methods.moco.method",
        (("return k[moved(back, k.device)] if self.shuffle else k", "return k"),),
    ),
    Mutant(
        "keys enqueued before use",
        "methods.moco.method",
        (
            (RETURNS, f"        self.queue.enqueue(k)\n{RETURNS}"),
            ("self.queue.enqueue(torch.cat(self._fresh))", "pass"),
        ),
    ),
    Mutant(
        "hue jittered four times as much",
        "data.parameters",
        (("hue=_between(hue, -policy", "hue=4 * _between(hue, -policy"),),
        JITTER,
    ),
    Mutant(
        "queue's pointer stays",
        "methods.moco.queue",
        (("self.pointer = (first + len(keys)) % size", "self.pointer = 0"),),
    ),
    Mutant(
        "key encoder in eval mode",
        "methods.moco.method",
        (
            ("self.embed(self.key, x)", "self.embed(self.key.eval(), x)"),
            ("forget_running_statistics(self.key)", "pass"),
        ),
    ),
)
"""Of the algorithm and its views; the accuracy gate is asked about them too."""

EVALUATION = (
    Mutant(
        "crops encoded in train mode, statistics restored",
        "stage.linear",
        (
            (
                "            x = encode(self.encoder, batch",
                "            kept = {k: v.clone() for k, v in self.encoder.state_dict().items()}\n"
                "            x = encode(self.encoder.train(), batch",
            ),
            (
                "            index = world.gather(",
                "            self.encoder.eval().load_state_dict(kept)\n"
                "            index = world.gather(",
            ),
        ),
        CROPS,
    ),
    Mutant(
        "probe judged on the images that it learnt from",
        "stage.linear",
        (
            ("self._features(context.data.test)", "self._features(context.data.bank)"),
            ("context.data.test.labels", "context.data.bank.labels"),
        ),
        PROBED,
    ),
    Mutant(
        "kNN of the training images among themselves",
        "stage.knn",
        (("queries: Images = data.test", "queries: Images = data.bank"),),
        NEIGHBOURS,
    ),
    Mutant(
        "kNN of the backbone whatever the layer",
        "stage.knn",
        (("layer=protocol.layer", 'layer="backbone"'),),
        NEIGHBOURS,
    ),
    Mutant(
        "monitor of the key encoder",
        "stage.pretrain",
        (("encoder, world = self.mechanism.query,", "encoder, world = self.mechanism.key,"),),
        MONITOR,
    ),
    Mutant(
        "features of images that were not normalised",
        "evaluate.features",
        (("            x = normalise(x, data)\n", ""),),
        FEATURES,
    ),
    Mutant(
        "features in train mode",
        "evaluate.features",
        (("    encoder.eval()\n", ""),),
        FEATURES,
    ),
)
"""Of what measures the features."""


@contextlib.contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The flaw in this process, whoever has imported what it is in: functions keep their identity
    and get the flawed code."""
    module = importlib.import_module(f"harness.{mutant.module}")
    assert module.__file__ is not None
    source = Path(module.__file__).read_text()
    flawed = _codes(compile(mutant.of(source), module.__file__, "exec", dont_inherit=True))
    kept: list[tuple[FunctionType, CodeType]] = []
    for name, function in _functions(module):
        if name in flawed and flawed[name] != function.__code__:
            kept.append((function, function.__code__))
            function.__code__ = flawed[name]
    assert kept, f"{mutant.name}: nothing was planted"
    try:
        yield
    finally:
        for function, code in kept:
            function.__code__ = code


def _functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """The module's own functions and methods by qualified name, without their decorators."""
    owners: list[Any] = [module]
    owners += [c for c in vars(module).values() if inspect.isclass(c) and _of(c, module)]
    for owner in owners:
        for value in vars(owner).values():
            function = inspect.unwrap(value) if callable(value) else None
            if isinstance(function, FunctionType) and _of(function, module):
                yield function.__qualname__, function


def _of(value: Any, module: ModuleType) -> bool:
    return bool(value.__module__ == module.__name__)


def _codes(whole: CodeType) -> dict[str, CodeType]:
    """All code in a module's, by qualified name."""
    found: dict[str, CodeType] = {}
    for constant in whole.co_consts:
        if isinstance(constant, CodeType):
            found |= {constant.co_qualname: constant} | _codes(constant)
    return found
