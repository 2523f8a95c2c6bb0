"""A picture of the papers' claims: each difference with its interval, beside what the paper says.

Written without matplotlib, so its bytes depend on the numbers alone.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from harness.output import inert
from harness.report.claim_lines import ClaimLine, Effect

FILE = "claims.svg"

WIDTH = 1000
LEFT, RIGHT = 396, 764
"""The axis, in pixels; the statements stand left of it, the numbers right."""
TOP, ROW, LINE = 76, 66, 16
"""ROW is the least height of a row."""
SIGNS, SMALLER = 52, 56
"""About how many characters fit into a line of a statement, and of smaller text."""
LINES = 4
STEPS = (1, 2, 5, 10, 20, 50)
TICKS = 8
"""At most so many steps of the axis."""

STYLE = """\
text { font: 13px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.paper { fill: #ffffff } .quiet { fill: #59636e; font-size: 12px } .head { font-weight: 600 }
.zero { stroke: #59636e } .tick { stroke: #d1d9e0 } .claimed { fill: #d8e6f3 }
.bold { font-weight: 600 }
.good { fill: #0060a0; stroke: #0060a0 } .bad { fill: #b03a00; stroke: #b03a00 }
.open { fill: #6e7781; stroke: #6e7781 } text.good, text.bad, text.open { stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .paper { fill: #0d1117 } .quiet { fill: #9198a1 }
.zero { stroke: #9198a1 } .tick { stroke: #30363d } .claimed { fill: #1c3147 }
.good { fill: #58a6ff; stroke: #58a6ff } .bad { fill: #ff9a52; stroke: #ff9a52 }
.open { fill: #9198a1; stroke: #9198a1 }
}"""

GOOD = ("reproduced", "looks reproduced")
BAD = ("refuted", "not reproduced", "looks not reproduced")


def drawable(lines: Sequence[ClaimLine]) -> list[ClaimLine]:
    """The claims that have a difference in points with an interval."""
    return [
        line
        for line in lines
        if line.effect is not None
        and line.effect.unit == "points"
        and line.effect.mean is not None
        and (line.effect.low is not None or line.effect.high is not None)
    ]


def picture(lines: Sequence[ClaimLine]) -> str:
    """The picture as an SVG file, readable in light and dark surroundings."""
    drawn = drawable(lines)
    least, most, step = _range([line.effect for line in drawn if line.effect is not None])
    tops = [TOP]
    for line in drawn:
        tops.append(tops[-1] + max(ROW, LINE * (len(_words(line)) + 1) + 10))
    bottom, foot = tops[-1], _foot(lines, drawn)
    height = bottom + 34 + 18 * len(foot)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{_escaped(_in_words(lines))}">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="6"/>',
        _text(16, 28, "What the paper says, and its numbers", "head"),
        _text(LEFT, 28, "our difference, with its interval, in points", "head"),
        _text(RIGHT + 20, 28, "our verdict", "head"),
        f'<rect class="claimed" x="{LEFT}" y="40" width="22" height="12"/>',
        _text(LEFT + 30, 51, "where the interval must lie for the statement to hold", "quiet"),
        *_axis(least, most, step, bottom),
    ]
    for line, top in zip(drawn, tops, strict=False):
        parts += _row(line, top, least, most)
    x = _x(0, least, most)
    parts.append(f'<line class="zero" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{bottom}"/>')
    for line, top in zip(drawn, tops, strict=False):
        parts += _interval(line, top, least, most)
    parts += [_text(16, bottom + 44 + 18 * n, words, "quiet") for n, words in enumerate(foot)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _in_words(lines: Sequence[ClaimLine]) -> str:
    said = [f"{line.says} {line.in_words}" for line in drawable(lines)]
    return "; ".join(["The papers' statements and our verdicts", *said])


def _foot(lines: Sequence[ClaimLine], drawn: Sequence[ClaimLine]) -> list[str]:
    words = []
    left = Counter(line.verdict for line in lines if line not in drawn)
    if left:
        counted = ", ".join(f"{n} {verdict}" for verdict, n in sorted(left.items()))
        words.append(f"Without an interval in points, and so not drawn: {counted}.")
    if drawn and not any(line.papers_scale for line in drawn):
        words.append("No run is at the papers' scale: compare statements, not numbers.")
    return words


def _range(effects: Sequence[Effect]) -> tuple[float, float, float]:
    """(least, most, step) of the axis; it holds zero, all intervals and all margins."""
    ends = [0.0]
    for each in effects:
        ends += [end for end in (each.low, each.high, each.mean) if end is not None]
        ends += [-each.alike, each.alike]
    if max(ends) == min(ends):
        return -1.0, 1.0, 1.0
    reach = max(ends) - min(ends)
    step = next((s for s in STEPS if reach / s <= TICKS), STEPS[-1])
    return math.floor(min(ends) / step) * step, math.ceil(max(ends) / step) * step, step


def _x(value: float, least: float, most: float) -> float:
    share = (min(max(value, least), most) - least) / (most - least)
    return round(LEFT + share * (RIGHT - LEFT), 1)


def _axis(least: float, most: float, step: float, bottom: int) -> Iterator[str]:
    for n in range(round((most - least) / step) + 1):
        value = least + n * step
        x = _x(value, least, most)
        yield f'<line class="tick" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{bottom}"/>'
        yield _text(x, bottom + 18, f"{value:+g}" if value else "0", "quiet", "middle")


def _words(line: ClaimLine) -> list[str]:
    return textwrap.wrap(line.says, SIGNS, max_lines=LINES, placeholder=" …")


def _row(line: ClaimLine, top: int, least: float, most: float) -> Iterator[str]:
    """The statement, its printed numbers, the region where it holds, and the verdict."""
    effect, words = line.effect, _words(line)
    assert effect is not None
    for n, text in enumerate(words):
        yield _text(16, top + 14 + LINE * n, text)
    if line.numbers:
        (shown,) = textwrap.wrap(f"paper: {line.numbers}", SMALLER, max_lines=1, placeholder=" …")
        yield _text(16, top + 14 + LINE * len(words), shown, "quiet")
    low, high = _claimed(effect, least, most)
    width = round(high - low, 1)
    yield f'<rect class="claimed" x="{low}" y="{top + 8}" width="{width}" height="36"/>'
    if line.unlearned:
        yield _text(LEFT + 4, top + 58, textwrap.shorten(line.unlearned, SMALLER), "quiet")
    x = RIGHT + 20
    yield _text(x, top + 18, line.verdict, f"bold {_shade(line)}")
    yield _text(x, top + 34, _numbers(effect), "quiet")
    yield _text(x, top + 50, _runs(line, effect), "quiet")


def _interval(line: ClaimLine, top: int, least: float, most: float) -> Iterator[str]:
    """The interval, with an arrow where it has no end, and its middle."""
    effect, shade = line.effect, _shade(line)
    assert effect is not None
    assert effect.mean is not None
    y = top + 26
    ends = [(effect.low, LEFT, 1), (effect.high, RIGHT, -1)]
    at = [edge if end is None else _x(end, least, most) for end, edge, _ in ends]
    yield (
        f'<line class="{shade}" stroke-width="2.5" x1="{at[0]}" x2="{at[1]}" y1="{y}" y2="{y}"/>'
    )
    for x, (end, _, inward) in zip(at, ends, strict=True):
        if end is None:
            tip = f"{x},{y} {x + 8 * inward},{y - 5} {x + 8 * inward},{y + 5}"
            yield f'<polygon class="{shade}" points="{tip}"/>'
        else:
            yield (
                f'<line class="{shade}" stroke-width="2" x1="{x}" x2="{x}" y1="{y - 5}" '
                f'y2="{y + 5}"/>'
            )
    middle = _x(effect.mean, least, most)
    yield f'<circle class="{shade}" cx="{middle}" cy="{y}" r="4.5"/>'


def _claimed(effect: Effect, least: float, most: float) -> tuple[float, float]:
    """Where the interval must lie for the claim to hold, in pixels."""
    low, high = least, most
    for finding in effect.claimed:
        if finding == "better":
            low = max(low, effect.margin)
        elif finding == "not worse":
            low = max(low, -effect.alike)
        elif finding == "worse":
            high = min(high, -effect.margin)
        else:
            high = min(high, effect.alike)
    return _x(low, least, most), _x(high, least, most)


def _shade(line: ClaimLine) -> str:
    if line.verdict.startswith(BAD):
        return "bad"
    return "good" if line.verdict.startswith(GOOD) else "open"


def _runs(line: ClaimLine, effect: Effect) -> str:
    return f"{effect.seeds} seeds" + ("" if line.fixed else ", not fixed beforehand")


def _numbers(effect: Effect) -> str:
    low, high = ("no bound" if end is None else f"{end:+.1f}" for end in (effect.low, effect.high))
    return f"{effect.mean:+.1f} ({low} to {high})"


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "") -> str:
    more = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x}" y="{y}"{more}>{_escaped(words)}</text>'


def _escaped(words: str) -> str:
    return html.escape(inert(words))
