"""What the tests of the documents read in Markdown: code blocks, code spans, links, headings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import harness

ROOT = Path(harness.__file__).parent.parent

FENCE = re.compile(r"^( *)(`{3,}|~{3,})(.*)$")
SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HTML = re.compile(r"(?:href|src)=\"([^\"]+)\"")
NO_TEST = "<!-- no-test -->"
"""Above a block whose language has to stand alone, as programs read it."""
ANCHOR = re.compile(r"(?:id|name)=\"([^\"]+)\"")


def written() -> list[Path]:
    """The documents that people write and read, relative to the checkout."""
    found = (path for pattern in ("*.md", "docs/**/*.md") for path in ROOT.glob(pattern))
    return sorted(path.relative_to(ROOT) for path in found)


def documents() -> list[Path]:
    """All Markdown files, those that the harness writes included."""
    more = (
        path for pattern in ("reports/**/*.md", ".github/**/*.md") for path in ROOT.glob(pattern)
    )
    return sorted({*written(), *(path.relative_to(ROOT) for path in more)})


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    document: Path
    line: int
    """The line of its opening fence, from 1."""
    language: str
    tested: bool
    """Whether neither the words after the language nor a comment above have `no-test`."""
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: Path, text: str) -> Iterator[Block]:
    """The fenced code blocks of a document.

    Raises:
        AssertionError: a block is not closed.
    """
    lines = iter(enumerate(text.splitlines(), 1))
    before, line = "", ""
    for number, now in lines:
        before, line = line, now
        if (opened := FENCE.match(line)) is None:
            continue
        indent, fence, info = opened.groups()
        inside = list[str]()
        for _, code in lines:
            if re.fullmatch(rf" *{fence[0]}{{{len(fence)},}} *", code):
                break
            inside.append(code.removeprefix(indent))
        else:
            raise AssertionError(f"{document}:{number}: this code block is not closed")
        language, *marks = info.split() or [""]
        tested = "no-test" not in marks and before.strip() != NO_TEST
        yield Block(document, number, language, tested, "\n".join(inside) + "\n")


def prose(text: str) -> str:
    """The text without its fenced code blocks."""
    kept, fence = list[str](), ""
    for line in text.splitlines():
        found = FENCE.match(line)
        if fence:
            if found is not None and found[2].startswith(fence):
                fence = ""
        elif found is not None:
            fence = found[2]
        else:
            kept.append(line)
    return "\n".join(kept)


def spans(text: str) -> list[str]:
    """What stands between backquotes in the prose, in one line each."""
    return [" ".join(found[1].split()) for found in SPAN.findall(prose(text))]


def links(text: str) -> list[str]:
    """The targets of links and pictures."""
    plain = SPAN.sub("", prose(text))
    return [target for form in (LINK, DEFINITION, HTML) for target in form.findall(plain)]


def anchors(text: str) -> set[str]:
    """What a link to this document may have after its #: the headings as GitHub names them."""
    plain = prose(text)
    found = set(ANCHOR.findall(plain))
    seen = Counter[str]()
    for heading in re.findall(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$", plain, re.MULTILINE):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found
