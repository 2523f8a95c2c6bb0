"""A recipe as YAML text, with the reason above each value."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from harness.recipe.fitted import Setting
from harness.recipe.yaml_text import render

WIDTH = 100


def commented(settings: Sequence[Setting], head: Sequence[str]) -> str:
    """The file's text.

    Args:
        settings: the fields in order, those of a section together.
        head: paragraphs of the comment at the file's beginning.
    """
    lines = [line for paragraph in head for line in _comment(paragraph, "")]
    open_: list[str] = []
    for setting in settings:
        *sections, field = setting.path.split(".")
        shared = 0
        while shared < min(len(open_), len(sections)) and open_[shared] == sections[shared]:
            shared += 1
        if shared == 0:
            lines.append("")
        deeper = range(shared, len(sections))
        lines += [f"{'  ' * depth}{sections[depth]}:" for depth in deeper]
        open_ = sections
        indent = "  " * len(sections)
        lines += _comment(setting.why, indent)
        lines.append(f"{indent}{field}: {render(setting.value, flow=True)}")
    return "\n".join(lines) + "\n"


def _comment(text: str, indent: str) -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=start,
        break_long_words=False,
        break_on_hyphens=False,
    )
