"""`--set FIELD=VALUE`: how it is parsed, and the correct form to suggest when it is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from harness.errors import RecipeError
from harness.recipe.suggest import printable
from harness.recipe.tree import Node, Place, split
from harness.recipe.yaml_source import parse_value
from harness.redact import redact

T = TypeVar("T")

_WORDS = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false"}
_WORDS |= {"false": "false", "none": "null", "null": "null"}
_SEPARATED = re.compile(r"(?<=\d)[_,](?=\d{3}(\D|$))")
"""The separator of thousands in 1_000 and 1,000."""


def parse_set(text: str) -> tuple[str, Node]:
    """`optim.lr=0.1` as a dotted path and a value.

    A value that starts with a bracket or a quote is YAML. Any other value is a number, true, false,
    null, or plain text without special characters: `run #3: a=b` is that text.

    Raises RecipeError.
    """
    place = place_of(text)
    path, equals, value = text.partition("=")
    if not equals or not value.strip():
        raise RecipeError(f"{place}: write field=value, as in optim.lr=0.03 (nothing: null)")
    path = path.strip()
    split(path, place)
    return path, Node(parse_value(value.strip(), place.source).value, place)


def suggest_on_error(sets: Sequence[str], work: Callable[[Sequence[str]], T]) -> T:
    """The result of `work` for these settings. A RecipeError about some of them gets an `instead`,
    if one is known: the form in which they are accepted."""
    try:
        return work(sets)
    except RecipeError as error:
        error.instead = _accepted_forms(sets, work, error)
        raise


def place_of(text: str) -> Place:
    """The place of a setting's value: the option as it was given, without secrets."""
    return Place(f"--set {printable(redact(text), 200)}")


def _accepted_forms(
    sets: Sequence[str], work: Callable[[Sequence[str]], object], error: RecipeError
) -> dict[str, str]:
    """Setting -> the form in which `work` accepts all of them; {} if none is known."""
    now, found = list(sets), dict[str, str]()
    for n, text in enumerate(sets):
        if not _caused(text, error):
            continue
        for other in _other_forms(text, str(error)):
            tried = [*now[:n], other, *now[n + 1 :]]
            try:
                work(tried)
            except RecipeError as left:
                if _caused(other, left):
                    continue
                error = left
            now, found[text] = tried, other
            break
        else:
            return {}
    try:
        work(now)
    except RecipeError:
        return {}
    return found


def _caused(text: str, error: RecipeError) -> bool:
    """Whether the error is about the setting. Errors of an ablation's cells name only its field."""
    field = text.partition("=")[0].strip()
    return str(place_of(text)) in str(error) or f"--set {field}: " in str(error)


def _other_forms(text: str, said: str) -> Iterator[str]:
    """Other forms of a setting, starting with those that change its meaning least.

    Args:
        said: the error. Only where it names a whole number is one meant: a share of 1.0 is not 1.
    """
    field, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        field, equals, value = (part.strip() for part in text.partition(":"))
        if not equals or not value:
            return
        yield f"{field}={value}"
    if not value:
        return
    if value[0] == "{" and (spaced := re.sub(r":(?=\S)", ": ", value)) != value:
        yield f"{field}={spaced}"
    inner = value[1:-1] if value[0] == value[-1] and value[0] in "\"'" and len(value) > 2 else ""
    if inner:
        yield f"{field}={inner}"
    if (word := _WORDS.get(value.lower())) is not None:
        yield f"{field}={word}"
    try:
        if abs(float(value)) < 2**53 and f"write {int(float(value))}" in said:
            yield f"{field}={int(float(value))}"
    except ValueError:
        pass
    if (plain := _SEPARATED.sub("", value)) != value:
        yield f"{field}={plain}"
    yield f"{field}={json.dumps(value, ensure_ascii=False)}"
    for listed in dict.fromkeys((inner or value, value)):
        parts = ", ".join(filter(None, re.split(r"[,\s]+", listed.strip("()[] "))))
        yield f"{field}=[{parts}]"
    yield f"{field}={{{value}}}"
