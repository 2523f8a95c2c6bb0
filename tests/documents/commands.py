"""The commands that a document tells: whether they exist, with these options, without running."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer

from documents.markdown import ROOT
from harness.cli.app import app
from harness.command import PROGRAM

OPERATORS = frozenset("();<>|&")
PLACEHOLDERS = {"...", "COMMAND", "NAME"}
"""What stands for any command, or any session."""


def commands_in(text: str) -> Iterator[list[str]]:
    """Each command of a shell text, as words, without redirections.

    Raises:
        ValueError: a quote is not closed.
    """
    for line in text.replace("\\\n", " ").splitlines():
        split = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        split.whitespace_split = True
        words, redirected = list[str](), False
        for word in split:
            if redirected:
                redirected = False  # it is the file
            elif not OPERATORS.issuperset(word):
                words.append(word)
            elif redirected := word[0] in "<>":
                if words[-1:] in (["1"], ["2"]):
                    words.pop()  # as in 2>&1
            else:
                yield words
                words = []
        yield words


def wrong(words: list[str]) -> str:
    """What is wrong with a command, if it is one of ours: `moco-harness`, `nox -s` or `.ci/run -s`,
    `-m harness`; "" if nothing is."""
    if PROGRAM in words:
        return _refused(words[words.index(PROGRAM) + 1 :])
    if {"nox", ".ci/run"} & set(words) and "-s" in words:
        named = words[words.index("-s") + 1 :]
        named = named[: named.index("--")] if "--" in named else named
        missing = {name for name in named if name[:1] != "-"} - sessions() - PLACEHOLDERS
        return f"no such nox session: {', '.join(sorted(missing))}" if missing else ""
    for before, module in itertools.pairwise(words):
        if before == "-m" and re.match(r"(harness|tests)\b", module):
            path = ROOT / module.replace(".", "/")
            if not (path.with_suffix(".py").exists() or (path / "__main__.py").exists()):
                return f"no such module: {module}"
    return ""


def _refused(words: list[str]) -> str:
    """What the parser says of `moco-harness WORDS`; it takes any value, as it may be RECIPE."""
    command: Any = typer.main.get_command(app)
    context = command.context_class(command, info_name=PROGRAM, **command.context_settings)
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return "" if words[0] in PLACEHOLDERS else f"no such command: {words[0]}"
        command, words = command.commands[words[0]], words[1:]
        context = command.context_class(command, info_name=command.name, parent=context)
    try:
        _, left, _ = command.make_parser(context).parse_args(list(words))
    except Exception as refused:
        if hasattr(refused, "format_message"):  # click's UsageError, or typer's own copy of it
            return str(refused.format_message())
        raise
    return f"too many words: {' '.join(left)}" if left else ""


@cache
def sessions() -> set[str]:
    """The names of the sessions in noxfile.py, which is not imported: nox may be missing."""
    found = set[str]()
    for node in ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            shown = [ast.unparse(one) for one in node.decorator_list]
            found |= {node.name for one in shown if re.match(r"nox\.session\b", one)}
    return found
