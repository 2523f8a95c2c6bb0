from __future__ import annotations

import pytest

from harness.recipe.suggest import closest, did_you_mean, printable, shown


@pytest.mark.parametrize(
    ("word", "expected"),
    [("shedule", "schedule"), ("LR", "lr"), ("zzz", None), ("", None)],
)
def test_closest(word: str, expected: str | None) -> None:
    assert closest(word, ["schedule", "lr", "epochs"]) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("a", None), ("k", None), ("ln", None), ("m", None), ("lrr", "lr"), ("kn", "knn"), ("K", "k")],
)
def test_short_words_must_be_closer(word: str, expected: str | None) -> None:
    assert closest(word, ["lr", "knn", "k" if word == "K" else "ks", "a.b", "m0"]) == expected


def test_did_you_mean_falls_back_to_the_options() -> None:
    assert did_you_mean("epoch", ["epochs", "lr"]) == ", did you mean epochs?"
    assert did_you_mean("zzz", ["epochs", "lr"]).endswith("epochs, lr")
    assert did_you_mean("zzz", []) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (0.5, "0.5"),
        ("fast", "'fast'"),
        ("a\nb\x1b[31m\udcff", r"'a\nb\x1b[31m\udcff'"),
        ({}, "an empty section"),
        ({"a": 1}, "a section"),
        ([1], "a list"),
    ],
)
def test_shown(value: object, expected: str) -> None:
    assert shown(value) == expected


def test_printable_is_short() -> None:
    assert printable("x" * 100, longest=10) == "xxxxxxx..."
    assert len(printable("\n" * 100, longest=10)) == 10
