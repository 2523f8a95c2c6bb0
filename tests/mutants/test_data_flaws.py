"""Flaws in the data that no accuracy needs to show: each is caught by a test of what it breaks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from data import test_evaluation_view as evaluation
from data import test_loader as loading
from data import test_pictures as pictures

from .planted import Mutant, planted


def of_files() -> None:
    with tempfile.TemporaryDirectory() as place:
        root = evaluation.drawn(Path(place))
        evaluation.test_of_files_and_packs(root, Path(place), 24)


CHECKS: dict[str, Callable[[], None]] = {
    "files": of_files,
    "stacks": lambda: evaluation.test_of_stacks(24, *evaluation.SIZES[0]),
    "views": lambda: loading.test_every_draw_is_independent_of_the_other_views_and_epochs(
        loading.coloured_noise(), "views"
    ),
    "epochs": lambda: loading.test_every_draw_is_independent_of_the_other_views_and_epochs(
        loading.coloured_noise(), "epochs"
    ),
    "turns": lambda: loading.test_every_draw_is_independent_of_the_other_views_and_epochs(
        loading.coloured_noise(), "a view and the other of the next epoch"
    ),
    "pixels": lambda: loading.test_what_is_done_to_one_view_says_nothing_of_another(
        loading.coloured_noise(), "flip", "views"
    ),
    "normal": loading.test_views_are_normalised_channel_by_channel,
    "deep": lambda: pictures.test_sixteen_bits_are_scaled("PNG"),
}

COIN = 'Parameters(**{**vars(view), "flip": drawn[0].flip})'
FLAWS = (
    Mutant(
        "files evaluated without the 256/224 resize",
        "data.images",
        (("round(size / CENTER), InterpolationMode", "size, InterpolationMode"),),
        "files",
    ),
    Mutant(
        "stacks evaluated without the 256/224 resize",
        "data.images",
        (("[round(size / CENTER)]", "[size]"),),
        "stacks",
    ),
    Mutant(
        "one flip coin for both views",
        "data.loader",
        (
            (
                "            crops = torch.cat([loaded",
                f"            drawn = [{COIN} for view in drawn]\n"
                "            crops = torch.cat([loaded",
            ),
        ),
        "views",
    ),
    Mutant(
        "flips drawn once the views are made",
        "data.loader",
        (
            (
                "finish(x, drawn, kind)",
                "finish(x, Parameters(**{**vars(drawn), 'flip': "
                "drawn.flip.chunk(len(places))[0].repeat(len(places))}), kind)",
            ),
        ),
        "pixels",
    ),
    Mutant(
        "the same views in every epoch",
        "data.loader",
        (('"augment", shares[0].epoch, view', '"augment", 0, view'),),
        "epochs",
    ),
    Mutant(
        "the second view is the next epoch's first",
        "data.loader",
        (('"augment", shares[0].epoch, view', '"augment", shares[0].epoch + view'),),
        "turns",
    ),
    Mutant(
        "red normalised as blue",
        "data.loader",
        (("constant(values, x.device)", "constant(values[::-1], x.device)"),),
        "normal",
    ),
    Mutant(
        "16 bits cut off at 255",
        "data.pictures",
        ((".clip(0, 2**bits - 1) >> (bits - 8)", ".clip(0, 255)"),),
        "deep",
    ),
)


@pytest.mark.parametrize("check", CHECKS)
def test_the_checks_pass_without_a_flaw(check: str) -> None:
    CHECKS[check]()


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw.name)
def test_a_flaw_is_caught(flaw: Mutant) -> None:
    with planted(flaw), pytest.raises(AssertionError):
        CHECKS[flaw.test]()
