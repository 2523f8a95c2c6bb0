"""Parts of error messages: the nearest valid name, and a user's value made printable."""

from __future__ import annotations

import json
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

LONGEST = 60
"""Maximum number of characters of a user's value that a message repeats."""
MOST = 30
"""Maximum number of names that a message lists."""
SHORT = 3
"""Names of at most this many letters are compared more strictly."""


def closest(word: str, options: Iterable[str]) -> str | None:
    """The option that `word` was probably meant to be, or None."""
    by_lower = {option.lower(): option for option in options}
    typed = word.lower()[:200]
    for found in get_close_matches(typed, by_lower, cutoff=0.6):
        # in a name of two or three letters, one common letter may already give 0.6
        short = min(len(typed), len(found)) <= SHORT
        if not short or SequenceMatcher(None, typed, found).ratio() >= 0.75:
            return by_lower[found]
    return None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """`, did you mean X?` for the closest option; otherwise the list of options; "" without
    options."""
    names = list(options)
    near = closest(word, names)
    if near is not None:
        return f", did you mean {near}?"
    return f"; use one of {listed(names)}" if names else ""


def listed(names: Iterable[object]) -> str:
    """Names in a sentence: `a, b, c`; of more than MOST the first ones, and how many there are."""
    every = [str(name) for name in names]
    more = f" and {len(every) - MOST} more" if len(every) > MOST else ""
    return ", ".join(every[:MOST]) + more


def printable(text: str, longest: int = LONGEST) -> str:
    """`text` on one line, without control characters, at most `longest` characters."""
    safe = "".join(c if c.isprintable() else _escaped(c) for c in text[: longest + 1])
    return safe if len(safe) <= longest else safe[: longest - 3] + "..."


def shown(value: object) -> str:
    """A value from a YAML file in plain words."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "a section" if value else "an empty section"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"'{printable(value)}'"
    return json.dumps(value)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
