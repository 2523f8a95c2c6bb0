"""Plain values as YAML text that `yaml_source` reads back unchanged."""

from __future__ import annotations

from typing import Any

import yaml

from harness.recipe.yaml_source import is_text


class _Dumper(yaml.SafeDumper):
    """Also quotes a text that our rules, but not PyYAML's, would read as a number."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, None if is_text(text) else "'")


_Dumper.add_representer(str, _text)


def render(value: Any, *, flow: bool = False) -> str:
    """`value` (mappings, lists, scalars) as YAML, one field per line; with `flow` all on one
    line."""
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=flow,
        sort_keys=False,
        width=10_000 if flow else 80,
    )
    return text.removesuffix("\n...\n").strip() if flow else text
