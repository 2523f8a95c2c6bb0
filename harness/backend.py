"""Settings of a launcher in the site file: a section under the launcher's name."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import Field

from harness.recipe.section import Section
from harness.spec.named_code import load_section
from harness.spec.registry import launchers

Count = Annotated[int, Field(ge=1)]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Backend(Section):
    """How a launcher is to run stages on this site."""

    kind: ClassVar[str]
    """The launcher's name, which is also the section's."""


def backends() -> dict[str, type[Backend]]:
    """The section of every declared launcher that has one, by launcher name.

    Raises:
        HarnessError: a launcher declares something that is no such section.
    """
    return {
        kind: load_section("launcher", kind, each.section, Backend)
        for kind, each in sorted(launchers().items())
        if each.section is not None
    }


def is_line(text: str) -> bool:
    """Whether the text is one line, not empty, without control characters."""
    return bool(text.strip()) and not has_controls(text)


def has_controls(text: str) -> bool:
    """Whether the text has control characters or line breaks."""
    return _CONTROL.search(text) is not None
