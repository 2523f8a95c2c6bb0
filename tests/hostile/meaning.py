"""What a file of YAML says, read in another way than the harness reads it.

The oracle of the fuzzing: PyYAML composes the file into nodes without resolving anything, and every
value that stands there must be found in what the harness made of it, by its plainest reading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def composed(text: str) -> Any:
    """The file's one document as a node.

    By PyYAML's own parser, another than libyaml, with which the harness reads; by libyaml what that
    parser cannot read, as tabs within a line.
    """
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return yaml.compose(text, Loader=yaml.CSafeLoader)


def lost(node: Any, value: Any, at: str = "") -> Iterator[str]:
    """What of the node does not stand in `value`, or stands there with another meaning."""
    if isinstance(node, yaml.MappingNode):
        if not isinstance(value, dict):
            yield f"{at}: a mapping became {value!r}"
            return
        keys = [key.value for key, _ in node.value]
        for key in {key for key in keys if keys.count(key) > 1}:
            yield f"{at}.{key}: given twice"
        for key, child in node.value:
            if key.value in value:
                yield from lost(child, value[key.value], f"{at}.{key.value}")
            else:
                yield f"{at}.{key.value}: dropped"
    elif isinstance(node, yaml.SequenceNode):
        if not isinstance(value, list | tuple) or len(value) != len(node.value):
            yield f"{at}: {len(node.value)} items became {value!r}"
            return
        for n, (child, item) in enumerate(zip(node.value, value, strict=True)):
            yield from lost(child, item, f"{at}.{n}")
    elif not _same(node.value, value, plain=not node.style):
        yield f"{at}: {node.value!r} became {value!r}"


def _same(text: str, value: Any, *, plain: bool) -> bool:
    if isinstance(value, str):
        return text == value
    if not plain:
        return False
    if value is None:
        return text in ("", "~", "null")
    if isinstance(value, bool):
        return text == str(value).lower()
    if not NUMBER.fullmatch(text):
        return False
    if isinstance(value, int):
        return text.lstrip("+") == str(value) or (value == 0 and text == "-0")
    digits = re.split("[eE]", text)[0]
    return math.isclose(float(text), value, rel_tol=1e-15) and (
        value != 0 or not re.search("[1-9]", digits)
    )
