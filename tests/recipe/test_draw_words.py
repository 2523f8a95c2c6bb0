"""Results over draws, in words."""

from __future__ import annotations

from typing import Any

from harness.recipe.draw_words import draw_protocol, interval_of_stage, interval_words
from harness.recipe.evaluation import LogisticTask
from harness.recipe.few_shot import FewShotTask
from harness.recipe.svm import SvmLowShotTask

VALUES = {
    "few_shot/top1": 50.0,
    "few_shot/half_width_over_draws": 1.5,
    "few_shot/top1@k1": 30.0,
    "few_shot/half_width_over_draws@k1": 4.25,
}


def few(**changes: Any) -> dict[str, Any]:
    made = FewShotTask.model_validate({"kind": "few_shot", "draws": 7, **changes})
    return made.model_dump(mode="json")


def protocol(said: dict[str, Any]) -> str:
    return draw_protocol(said, {"name": "cifar10", "images": 40, "size": 32}, ())


def test_the_protocol_says_what_decides_the_number() -> None:
    assert protocol(few()) == (
        "k 5, C 1, backbone, each of length 1, centre crops of cifar10 of 40 images, mean over 7 "
        "draws"
    )
    assert "not normalised" in protocol(few(normalise="none"))
    chosen = protocol(few(shots=(2, 4), c=(0.1, 1.0)))
    assert "C of 0.1, 1 chosen by 2-fold cross-validation inside each draw" in chosen


def test_low_shot_svms_name_their_own_images() -> None:
    said = SvmLowShotTask.model_validate({"kind": "svm_low_shot"}).model_dump(mode="json")
    words = protocol(said)
    assert "voc2007" in words
    assert "stretched" in words
    assert "32 pixels" in words
    assert "cifar10" not in words


def test_an_interval_is_said_to_be_over_draws_and_not_over_seeds() -> None:
    words = interval_words(few(), VALUES)
    assert "over 7 draws of one network, not over seeds" in words
    assert words.endswith("few_shot/top1 in %: k 5: 50.00 ± 1.50, k 1: 30.00 ± 4.25")


def test_it_is_of_the_metric_that_the_data_are_published_with() -> None:
    per_class = {"few_shot/mean_per_class": 40.0, **VALUES}
    assert "few_shot/mean_per_class in %: k 5: 40.00 ± 1.50" in interval_words(few(), per_class)


def test_low_shot_svms_have_the_interval_of_eleven_points() -> None:
    said = SvmLowShotTask.model_validate({"kind": "svm_low_shot"}).model_dump(mode="json")
    values = {"svm_low_shot/map": 43.0, "svm_low_shot/half_width_over_draws": 2.0}
    assert "svm_low_shot/map in %: k 1: 43.00 ± 2.00" in interval_words(said, values)


def test_without_a_result_or_without_draws_there_is_no_interval() -> None:
    described = {"task": "few", "recipe": {"tasks": {"few": few()}}}
    assert interval_of_stage(described, {}) == ""
    assert "not over seeds" in interval_of_stage(described, {"values": VALUES})
    logistic = LogisticTask.model_validate({"kind": "logistic"}).model_dump(mode="json")
    assert interval_words(logistic, VALUES) == ""
    assert interval_of_stage({"recipe": {}}, {"values": VALUES}) == ""
