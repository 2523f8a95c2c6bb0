"""Number of claims with each verdict: the paper's claims apart from our own checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness.recipe.claims import By

WHOSE: dict[By, str] = {
    "paper": "the paper's",
    "read_off": "derived from its numbers",
    "ours": "our own check",
}

_HEADS: dict[By, str] = {
    "paper": "Of the paper's {}",
    "read_off": "Of {} derived from printed numbers",
    "ours": "Our own {}",
}
_NOUNS: dict[By, str] = {"paper": "claim", "read_off": "claim", "ours": "check"}


POSSIBLE_REASONS = "Possible reasons (not tested here):"


def count_verdicts(found: Iterable[tuple[By, str]]) -> dict[By, dict[str, int]]:
    """Source of the claim -> verdict -> count; sources without claims are absent."""
    counts: dict[By, Counter[str]] = {}
    for by, verdict in found:
        counts.setdefault(by, Counter())[verdict] += 1
    return {by: dict(counts[by]) for by in WHOSE if by in counts}


def summary(counts: dict[By, dict[str, int]]) -> str:
    """E.g. "Of the paper's 2 claims: 2 undecided. Our own 1 check: 1 reproduced."; "" without
    claims."""
    said = []
    for by, verdicts in counts.items():
        n = sum(verdicts.values())
        head = _HEADS[by].format(plural(n, _NOUNS[by]))
        words = [counted(n, verdict) for verdict, n in verdicts.items()]
        said.append(f"{head}: {', '.join(words)}.")
    return " ".join(said)


def counted(n: int, verdict: str) -> str:
    """E.g. "2 look reproduced"."""
    return f"{n} {verdict if n == 1 else verdict.replace('looks', 'look')}"


def plural(n: int, noun: str) -> str:
    """E.g. "1 claim", "2 claims"."""
    return f"{n} {noun}{'s' if n != 1 else ''}"


def said_by(by: By, says: str) -> str:
    """The claim's text; its source is added unless it is the paper."""
    return says if by == "paper" else f"{says} ({WHOSE[by]})"
