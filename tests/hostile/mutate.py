"""Changes to files: what a slip of the hand, an editor, a disk or an enemy does to them."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import strategies as st

SCALARS = (
    "1_000", "0o17", "0x1F", "0b11", "017", "1:30", "1e3", "1.", ".5", "+1", "-0.0", "1e-400",
    "1e400", "9" * 25, "0." + "3" * 60, "-1", "0", "1", "2", "7", "0.1", "1e308", ".inf", "-.INF",
    ".nan", "inf", "NaN", "yes", "no", "on", "True", "true", "false", "null", "~", "Null", "",
    "2001-12-14", "2001-12-14t21:59:43.10-05:00", "=", "<<", "!!str 5", "!!python/none",
    "!!binary aGk=", "&a 1", "*a", "[]", "{}", "[1, 2]", "{a: 1}", "'1'", '"1"', "'true'", "'1e3'",
    '"\\u0000"', '"\\ud800"', '"\\N"', '"\\L"', "'it''s'", "|\n    two\n    lines", "> folded",
    "x" * 300, "step", "cosine", "moco", "end_to_end", "../../etc/passwd", "/etc/passwd", "a b",
    "a: b", "a #b", "- a", "? a", "%", "@a", "`a`", "\u202egnp", "\u2028", "\x85", "\ufeff", "\0",
    "😀", "τ", "e\u0301", "<script>alert(1)</script>", "\\input{/etc/passwd}", "untrained",
)  # fmt: skip
LINES = (
    "seed: 1", "name: x", "extends: x.yaml", "optim: {lr: 1}", "<<: {seed: 3}",
    "base: &b {seed: 3}", "also: *b", "---", "...", "%YAML 1.2", "--- !!map",
    "# seed: 3", "# a\u2028seed: 3",
    "# a\x85seed: 3", "? seed\n: 3", '"seed": 3', "'seed' : 3", "seed : 3", "linear: null",
    "knn: {}", "about: {title: '1e3', notes: [yes, no]}", "set: {optim.lr: 1}", "cells: []",
)  # fmt: skip
PIECES = ("\n", " ", "  ", "\t", ": ", ":", "- ", ",", "[", "]", "{", "}", "'", '"', "#", "|", "\r")
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 10**30, 10**400, -(10**400), 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "0", "1", "x" * 5000, "../../../etc/passwd", "/etc/passwd", "a\0b", "\ud800",
    "\u202e", "a\nb", "<script>alert(1)</script>", "\\input{/etc/passwd}", "%&|", [], {}, [[]],
    [None], {"": {}}, {"pid": 1}, ["a"] * 50, "finished", "diverged", "pretrain",
)  # fmt: skip
"""For a place in a JSON file."""


@st.composite
def text(draw: st.DrawFn, start: str) -> str:
    """`start` with one to four changes that a file of YAML may suffer."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.sampled_from((_scalar, _scalar, _line, _piece)))(draw, start)
    return start


def _scalar(draw: st.DrawFn, start: str) -> str:
    """Another value for one of the fields."""
    found = list(re.finditer(r"(?<=: )[^\s,\]}{\[#][^,\]}\n#]*", start))
    if not found:
        return start
    at = draw(st.sampled_from(found))
    return start[: at.start()] + draw(st.sampled_from(SCALARS)) + start[at.end() :]


def _line(draw: st.DrawFn, start: str) -> str:
    """A line more, less, twice, elsewhere or further in."""
    lines = start.splitlines(keepends=True)
    if not lines:
        return start
    at = draw(st.integers(0, len(lines) - 1))
    what = draw(st.sampled_from(("add", "drop", "twice", "swap", "in", "out")))
    if what == "add":
        lines.insert(at, draw(st.sampled_from(LINES)) + "\n")
    elif what == "drop":
        del lines[at]
    elif what == "twice":
        lines.insert(draw(st.integers(0, len(lines))), lines[at])
    elif what == "swap":
        other = draw(st.integers(0, len(lines) - 1))
        lines[at], lines[other] = lines[other], lines[at]
    elif what == "in":
        lines[at] = "  " + lines[at]
    else:
        lines[at] = lines[at].removeprefix("  ")
    return "".join(lines)


def _piece(draw: st.DrawFn, start: str) -> str:
    """A few characters replaced."""
    at = draw(st.integers(0, len(start)))
    new = draw(st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs"]))
    return start[:at] + new + start[at + draw(st.integers(0, 6)) :]


@st.composite
def yaml_bytes(draw: st.DrawFn, start: str) -> bytes:
    """`start` with its changes, in one of the encodings that editors write."""
    changed = draw(text(start))
    how = draw(st.sampled_from((*("plain",) * 6, "bom", "crlf", "cr", "utf-16", "latin-1", "nul")))
    if how == "crlf":
        changed = changed.replace("\n", "\r\n")
    elif how == "cr":
        changed = changed.replace("\n", "\r")
    elif how == "nul":
        changed += "\0"
    codec = {"bom": "utf-8-sig", "utf-16": "utf-16", "latin-1": "latin-1"}.get(how, "utf-8")
    return changed.encode(codec, errors="replace")


@st.composite
def damaged(draw: st.DrawFn, start: bytes) -> bytes:
    """`start` cut, with bytes changed, a piece twice, or something before or behind it."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(start) - 1)))
        how = draw(st.sampled_from(("cut", "flip", "zero", "twice", "lose", "before", "behind")))
        size = draw(st.integers(1, 40))
        if how == "cut":
            start = start[:at]
        elif how == "flip" and start:
            start = start[:at] + bytes([start[at] ^ (1 << (size % 8))]) + start[at + 1 :]
        elif how == "zero":
            start = start[:at] + b"\0" * min(size, len(start) - at) + start[at + size :]
        elif how == "twice":
            start = start[: at + size] + start[at:]
        elif how == "lose":
            start = start[:at] + start[at + size :]
        elif how == "before":
            start = draw(st.binary(max_size=size)) + start
        else:
            start += draw(st.binary(max_size=size))
    return start


@st.composite
def json_bytes(draw: st.DrawFn, start: bytes) -> bytes:
    """A file of JSON: one value in it another, a key less, more or twice, or its bytes damaged."""
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged(start))
    value = json.loads(start)
    for _ in range(draw(st.integers(1, 2))):
        value = _changed(draw, value)
    written = json.dumps(value)
    if draw(st.integers(0, 9)) == 0 and written.startswith("{"):  # the first key given twice
        written = '{"state": "finished", ' + written[1:]
    return written.encode(errors="surrogatepass")


@st.composite
def line_bytes(draw: st.DrawFn, start: bytes) -> bytes:
    """A file of lines of JSON: some of them changed, doubled, moved, joined or lost."""
    if draw(st.integers(0, 2)) == 0:
        return draw(damaged(start))
    lines = start.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 3))):
        if not lines:
            break
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(("value", "value", "twice", "swap", "drop", "join", "begin")))
        if how == "value" and lines[at].startswith(b"{") and lines[at].endswith(b"}\n"):
            lines[at] = json.dumps(_changed(draw, json.loads(lines[at]))).encode() + b"\n"
        elif how == "twice":
            lines.insert(draw(st.integers(0, len(lines))), lines[at])
        elif how == "swap":
            lines[at], lines[-1] = lines[-1], lines[at]
        elif how == "drop":
            del lines[at]
        elif how == "join":
            lines[at] = lines[at].rstrip(b"\n")
        elif how == "begin":
            lines[at] = lines[at][draw(st.integers(0, len(lines[at]))) :]
    return b"".join(lines)


def _changed(draw: st.DrawFn, value: Any) -> Any:
    """A copy of the JSON value with something else somewhere in it."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(VALUES))
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    key: Any = draw(st.sampled_from(list(copy) if isinstance(copy, dict) else range(len(copy))))
    how = draw(st.integers(0, 7))
    if how == 0:
        del copy[key]
    elif how == 1 and isinstance(copy, dict):
        copy[draw(st.sampled_from(("unheard", "", "state", "id", "\ud800")))] = copy[key]
    else:
        copy[key] = _changed(draw, copy[key])
    return copy
