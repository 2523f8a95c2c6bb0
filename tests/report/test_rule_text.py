"""The printed rule has the numbers that the code goes by."""

from __future__ import annotations

import pytest

from harness.report import rule_text
from harness.report.preconditions import part


@pytest.mark.parametrize(
    ("constant", "value", "words"),
    [
        ("TIME_CONSTANTS", 5, "5 / (1 − m) steps"),
        ("SHARE", 5, "K is at most a fifth of the images"),
        ("BETTER", 0.7, "the margin (0.7 points by default)"),
        ("ALIKE", 2.5, "for alike (2.5 points by default)"),
        ("SIDES", ("a", "b", "c"), "a third of it for lower bounds"),
        ("FEWEST", 4, "analyses with four seeds or more"),
        ("FEWEST", 40, "analyses with 40 seeds or more"),
        ("CONFIDENCE", 0.9, "with their 90 % t interval"),
    ],
)
def test_a_constant_is_in_its_sentence(
    constant: str, value: object, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words not in " ".join(rule_text.rule_sentences())
    monkeypatch.setattr(rule_text, constant, value)
    assert words in " ".join(rule_text.rule_sentences())


def test_a_part_without_a_word() -> None:
    assert (part(10), part(7)) == ("a tenth", "1/7")
