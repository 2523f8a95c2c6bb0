"""Each mutant is caught by the test that is named for it, which passes without."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from data.test_parameters import test_jitter_is_distributed_as_torchvisions as jitter
from evaluate.test_features import test_features_are_those_of_one_image_at_a_time as features
from methods.test_moco import test_trajectory_equals_the_oracles as trajectory
from stage import test_evaluation as evaluation

import harness
from harness.methods.moco.queue import Queue

from .planted import (
    CROPS,
    EVALUATION,
    FEATURES,
    JITTER,
    MONITOR,
    MUTANTS,
    NEIGHBOURS,
    ORACLE,
    PROBED,
    Mutant,
    planted,
)

ROOT = Path(harness.__file__).parent.parent

CHECKS: dict[str, Callable[[], None]] = {
    ORACLE: lambda: trajectory("first_group", "fc", 37, True),
    JITTER: lambda: jitter((0.4, 0.4, 0.4, 0.4)),
    FEATURES: lambda: features("output"),
    NEIGHBOURS: lambda: _somewhere(
        lambda place: evaluation.test_knn_asks_the_test_images_of_the_training_images(
            place, "output"
        )
    ),
    MONITOR: lambda: _somewhere(evaluation.test_the_monitor_measures_the_query_encoder),
    CROPS: lambda: _somewhere(evaluation.test_crops_are_encoded_as_the_frozen_encoder_does),
    PROBED: lambda: _somewhere(evaluation.test_the_probe_is_judged_on_the_test_images),
}

ALL = (*MUTANTS, *EVALUATION)


def _somewhere(test: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory() as place:
        test(Path(place))


@pytest.fixture(autouse=True)
def _as_in_the_named_tests() -> Iterator[None]:
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


def ask(test: str) -> None:
    torch.set_default_dtype(torch.float64 if test == ORACLE else torch.float32)
    CHECKS[test]()


@pytest.mark.parametrize("test", CHECKS)
def test_the_named_tests_pass_without_a_mutant(test: str) -> None:
    ask(test)


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    with planted(mutant), pytest.raises(AssertionError):
        ask(mutant.test)


def test_no_two_have_one_name() -> None:
    assert len({mutant.name for mutant in ALL}) == len(ALL)


def test_a_mutant_is_gone_afterwards() -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.module == "methods.moco.queue")
    queue, keys = Queue(8, 4, seed=0), torch.ones(3, 4)
    with planted(mutant):
        queue.enqueue(keys)
        assert queue.pointer == 0
    queue.enqueue(keys)
    assert queue.pointer == 3


def test_what_is_not_in_the_source_cannot_be_planted() -> None:
    none = Mutant("none", "methods.moco.queue", (("no such line", "x"),))
    with pytest.raises(AssertionError, match="stands 0 times"), planted(none):
        pass


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_mutants_source_is_whole(mutant: Mutant) -> None:
    compile(mutant.of((ROOT / mutant.path).read_text()), str(mutant.path), "exec")
