"""Relative links in Markdown lead to a file of the checkout, and to a heading in it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from documents.markdown import ROOT, anchors, documents, links


def broken(root: Path, document: Path) -> list[str]:
    """The links of a document that lead nowhere; those that leave the checkout are not followed."""
    path = root / document
    return [
        target
        for target in links(path.read_text(encoding="utf-8"))
        if not re.match(r"[a-z][a-z+.-]*:|//", target) and not _leads(root, path, unquote(target))
    ]


def _leads(root: Path, path: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    there = (path.parent / name).resolve() if name else path
    if not there.exists() or not there.is_relative_to(root.resolve()):
        return False
    if not anchor:
        return True
    if there.suffix == ".md":
        return anchor in anchors(there.read_text(encoding="utf-8"))
    lines = re.fullmatch(r"L(\d+)(?:-L(\d+))?", anchor)
    last = int(lines[2] or lines[1]) if lines is not None else 0
    return 0 < last <= len(there.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("document", documents(), ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    assert broken(ROOT, document) == []


def test_what_is_broken(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "code.py").write_text("one\ntwo\n")
    (tmp_path / "docs" / "b.md").write_text(
        "# The `first` one: [a link](../a.md)\n\n## Twice\n\n## Twice\n\n```\n## Code\n```\n"
    )
    sound = [
        "docs",
        "docs/b.md#the-first-one-a-link",
        "docs/b.md#twice-1",
        "#here",
        "code.py#L1-L2",
        "https://example.org/none",
        "docs/%62.md",
    ]
    rotten = ["none.md", "docs/b.md#code", "docs/b.md#twice-2", "#there", "code.py#L3", ".."]
    told = [f"[{number}\nword]({link})" for number, link in enumerate([*sound, *rotten])]
    more = '[![picture](none.png)](docs) `[code](none)` <img src="none.svg">\n\n[ref]: none.html\n'
    (tmp_path / "a.md").write_text("# Here\n\n" + " ".join(told) + more)
    assert broken(tmp_path, Path("a.md")) == [*rotten, "none.png", "none.html", "none.svg"]
