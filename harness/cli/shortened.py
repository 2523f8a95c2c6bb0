"""Names cut to a width so that no two of them look alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

CUT = "…"
SHARES = (0.5, 0.65, 0.35, 0.8, 0.2, 1.0)
"""How much of a cut name its end gets, in the order in which it is tried."""


def shortened(names: Iterable[str], width: int) -> dict[str, str]:
    """Each name with its form of at most `width` characters.

    Those that are longer lose a part in the middle, or what all names share. If they would then
    look alike, they stay whole.
    """
    whole = list(dict.fromkeys(names))
    if width < 2 or max(map(len, whole), default=0) <= width:
        return {name: name for name in whole}
    for end in (_distinguishing(whole, width), *(round(share * (width - 1)) for share in SHARES)):
        found = {name: _cut(name, width, end) for name in whole}
        if len(set(found.values())) == len(whole):
            return found
    begin, end = _shared(whole), _shared([name[::-1] for name in whole])
    found = {name: _without(name, begin, end, width) for name in whole}
    distinct = len(set(found.values())) == len(whole)
    return found if distinct else {name: name for name in whole}


def _distinguishing(names: Sequence[str], width: int) -> int:
    """The length of an end that has all that tells the names apart, if it fits; at least half."""
    half = round(SHARES[0] * (width - 1))
    apart = max(map(len, names)) - _shared(names)
    return apart if half < apart < width else half


def _cut(name: str, width: int, end: int) -> str:
    if len(name) <= width:
        return name
    return name[: width - 1 - end] + CUT + (name[-end:] if end else "")


def _shared(names: Sequence[str]) -> int:
    """The number of characters with which all names begin."""
    alike = (len(set(letters)) == 1 for letters in zip(*names, strict=False))
    return sum(itertools.takewhile(bool, alike))


def _without(name: str, begin: int, end: int, width: int) -> str:
    """The name without what all share, if that makes it short enough."""
    if len(name) <= width:
        return name
    middle = name[begin : len(name) - end]
    found = (CUT if begin else "") + middle + (CUT if end else "")
    return found if len(found) <= width else name
