"""Seeds on the command line: 0-7, or 3,5,9-11."""

from __future__ import annotations

import re

from harness.errors import RecipeError

MOST = 1000
"""Maximum number of seeds in one option."""


def parse_seeds(text: str | None) -> tuple[int, ...]:
    """The seeds that an option names, in its order, each once; () for None.

    Raises:
        RecipeError: the text is no such list.
    """
    found: dict[int, None] = {}
    for part in text.split(",") if text is not None else ():
        named = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        first, last = (int(named[1]), int(named[2] or named[1])) if named else (1, 0)
        if not first <= last < first + MOST:
            raise RecipeError(f"--seeds {text}: write seeds like 0-7 or 3,5 (at most {MOST})")
        found |= dict.fromkeys(range(first, last + 1))
    return tuple(found)
