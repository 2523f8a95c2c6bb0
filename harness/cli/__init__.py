"""The command line. Commands import their modules only when they run, so that --help is fast."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from harness.command import PROGRAM, present
from harness.errors import HarnessError, RecipeError, StoreError, unreadable
from harness.output import inert, lost, tolerate_print_errors

ASSIGNMENT = re.compile(r"[a-z_]+(\.\w+)*=.+", re.DOTALL)
"""A setting in the form that --set takes."""


COMPLETING = "_MOCO_HARNESS_COMPLETE"
"""Set by the shell when it asks for completions."""


def main() -> None:
    """Run `moco-harness`. A user's mistake prints its message and exits with its exit code.

    If output could not be printed, the exit code is a StoreError's, unless another error came
    first.
    """
    from harness.cli.app import app

    # Before torch is loaded. Threads that spin while they wait take the time of those that compute
    # where other programs use the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    tolerate_print_errors()
    began = time.time()
    try:
        try:
            _refuse_without_folder()
            app()
        except SystemExit as ended:
            if ended.code == RecipeError.exit_code:
                _tell_instead(_settings())
                if sys.argv[1:2] == ["check"]:
                    from harness.cli.check import discard

                    discard(sys.argv[2:], began)
            if ended.code or not lost():
                raise
            sys.exit(StoreError.exit_code)
    except HarnessError as error:
        if COMPLETING in os.environ:
            sys.exit(0)  # the line is not complete yet: there is nothing to say about it
        _refuse(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the buffer is flushed at exit
        sys.exit(141)
    except OSError as error:
        if (found := unreadable(error)) is None:
            raise
        _refuse(found)


def _refuse_without_folder() -> None:
    """In a working folder that was removed no relative path means anything, and libraries abort."""
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        raise StoreError("the working folder was deleted; change to another one (cd ~)") from None


def _refuse(error: HarnessError) -> NoReturn:
    from harness.redact import redact

    for line in redact(str(error)).splitlines():
        for part in _fitted(f"error: {inert(line)}"):
            print(part, file=sys.stderr)
    if isinstance(error, RecipeError):
        _tell_instead(present(changed=error.instead) if error.instead else _settings())
    sys.exit(error.exit_code)


def _fitted(text: str) -> list[str]:
    """The text as lines that fit the terminal; whole where nobody reads it on one."""
    if not sys.stderr.isatty():
        return [text]
    from harness.cli.show import wrapped

    return wrapped(text, shutil.get_terminal_size().columns)


def _tell_instead(line: str) -> None:
    if line:
        from harness.redact import redact

        print(inert(redact(f"write: {line}")), file=sys.stderr)


def _settings() -> str:
    """The present command, corrected: --set is added before an assignment that stands alone (`plan
    R seed=1`) or replaces another option before it (`plan R -set seed=1`). "" if there is no such
    assignment, or if the command does not accept the corrected line either."""
    import typer

    from harness.cli.app import app

    words = sys.argv[1:]
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    takes = {name: option for option in command.params for name in option.opts}
    if "--set" not in takes:
        return ""
    valued = {name for name, option in takes.items() if not getattr(option, "is_flag", False)}
    changed = dict[str, str | None]()
    for before, word in itertools.pairwise(["", *words]):
        if ASSIGNMENT.fullmatch(word) and before not in valued and not Path(word).exists():
            changed[word] = f"--set={word}"
            if before.startswith("-") and before.partition("=")[0] not in takes:
                changed[before] = None
    if not changed:
        return ""
    from harness.recipe.ablation import Scale
    from harness.recipe.schema import Recipe

    known = {*Recipe.model_fields, *Scale.model_fields}
    fields = [re.split(r"[.=]", word)[0] for word, other in changed.items() if other is not None]
    if not known.issuperset(fields):
        return ""
    taken = (changed.get(word, word) for word in words)
    misused: type[Exception] = typer.BadParameter.__mro__[1]
    """UsageError, of click or of typer's own copy of it."""
    try:
        command.make_context(PROGRAM, [word for word in taken if word is not None])
    except (misused, typer.Exit):
        return ""
    return present(changed=changed)
