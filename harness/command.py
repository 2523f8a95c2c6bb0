"""Commands that a user can paste: quoted for the shell, and with the run root and the site file if
the user's working folder needs them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.redact import HIDDEN

if TYPE_CHECKING:
    from harness.site import Site

PROGRAM = "moco-harness"
SCRIPTS = (PROGRAM, "__main__.py")
"""Program names of our commands; python -m harness.cli runs the file __main__.py."""

_PATHS = (
    "--runs", "--site", "--data", "--out", "--to", "--against", "--write-baseline", "--json",
    "--junit", "--publish",
)  # fmt: skip
_VALUED = (
    "--set", "--device", "--processes", "--on", "--seeds", "--seeds-until-decided", "--launcher",
    "--tasks", "--size", "--name", "--at-once",
)  # fmt: skip
"""Options whose value is not a path."""
_BEGIN = ("run", "sweep", "check", "certify", "evaluate")
"""Commands that start stages."""
_OWN = ("evaluate", "sweep")
"""Commands that run what they show, with options of their own."""


def line(*words: object) -> str:
    """The command with these arguments."""
    return shlex.join([PROGRAM, *map(str, words)])


def present(
    command: str | None = None, *added: str, changed: Mapping[str, str | None] | None = None
) -> str:
    """The command line that started this process, with changes; "" if it is not our program.

    Args:
        command: another command that takes the same options; for `evaluate` and `sweep`, which run
            their plans themselves, it stays the same.
        added: arguments to add at the end.
        changed: argument -> its replacement, also for a value after an option's `=`; None removes
            the argument.
    """
    program, *words = sys.argv or [""]
    if Path(program).name not in SCRIPTS or not words:
        return ""
    new = changed or {}
    written = list[str]()
    for word in words:
        option, equals, value = word.partition("=")
        if word in new:
            other = new[word]
            written += [] if other is None else [other]
        elif equals and option.startswith("--") and value in new:
            written.append(f"{option}={new[value]}")
        else:
            written.append(word)
    if command and words[0] not in _OWN:
        written[0] = command
    return line(*written, *added)


def data_option(site: Site) -> tuple[str, ...]:
    """--data and the data root, unless it is the usual one."""
    from harness.site import load_site

    usual = load_site(site=site.file).data
    return () if str(usual) == str(site.data) else ("--data", str(site.data))


@dataclass(frozen=True)
class Commands:
    """Makes commands about one run root.

    Attributes:
        runs: the run root.
        site: the site file that the user named, if any.
    """

    runs: Path
    site: Path | None = None

    def line(self, *words: object) -> str:
        """The command with these arguments, about this run root."""
        return line(*words, *self._place)

    @cached_property
    def _place(self) -> tuple[str, ...]:
        named = () if self.site is None else ("--site", str(self.site))
        return *named, *_root(self.runs, self.site)

    def again(self, words: Sequence[str], folder: str = "") -> str:
        """A recorded command, changed so that it does the same here and in this run root; "" if it
        is not a command that starts stages.

        Args:
            words: its arguments, the program's file first.
            folder: its working folder; "" if not recorded.
        """
        program, *rest = words or [""]
        known = program in SCRIPTS and rest and rest[0] in _BEGIN
        if not known or any(HIDDEN in word for word in rest):
            return ""
        moved = bool(folder) and folder != os.getcwd()  # noqa: PTH109
        seen, beside = (partial(place, folder) if moved else str for place in (_seen_from, _beside))
        parts = list(_parts(rest, seen, beside))
        site = next((value for name, value in parts if name == "--site"), None)
        if self.site is not None:
            site = str(self.site)
        kept = [
            word
            for name, value in parts
            if name not in ("--runs", "--site")
            for word in ([name] if name else []) + ([value] if value is not None else [])
        ]
        named = [] if site is None else ["--site", site]
        return line(*kept, *named, *_root(self.runs, Path(site) if site is not None else None))


def _root(runs: Path, site: Path | None) -> tuple[str, ...]:
    """The option that names the run root; none if it is the default."""
    from harness.site import load_site

    whole = _plain(runs.absolute())
    try:
        usual = _plain(load_site(site=site).runs.absolute())
    except HarnessError:
        usual = ""
    return () if usual == whole else ("--runs", whole)


def _parts(
    words: Sequence[str], path: Callable[[str], str], folder: Callable[[str], str]
) -> Iterator[tuple[str, str | None]]:
    """(option, value) of each argument, with `path` applied to paths, and `folder` to what may be a
    data set's name or a folder; an argument that is no option has "" as option."""
    rest = iter(words)
    yield "", (command := next(rest))
    for word in rest:
        name, equals, value = word.partition("=")
        if name in _PATHS:
            given = value if equals else next(rest, "")
            several = given.split(os.pathsep) if name == "--data" else [given]
            yield name, os.pathsep.join(map(path, several))
        elif name in _VALUED:
            given = value if equals else next(rest, "")
            yield name, folder(given) if command == "evaluate" and name == "--on" else given
        elif word.startswith("-"):
            yield word, None
        else:
            yield "", path(word)


def _seen_from(folder: str, named: str) -> str:
    """The path in a form valid from any folder. A recipe's name stays, unless it means a file
    there."""
    own = Path(folder, os.path.expanduser(named))  # noqa: PTH111
    beside = Path(folder, "recipes", f"{named}.yaml")
    try:
        if os.sep not in named and not own.exists():
            return str(beside) if beside.exists() else named
    except OSError:
        pass
    return _plain(own)


def _beside(folder: str, named: str) -> str:
    """A folder of images in a form valid from any folder. What may be a data set's name, or a
    folder's under the data root, stays."""
    own = Path(folder, os.path.expanduser(named))  # noqa: PTH111
    return _plain(own) if named.startswith((".", os.sep, "~")) else named


def _plain(path: Path) -> str:
    """The path without `..`; unchanged if a link before `..` makes it another place."""
    plain = os.path.normpath(path)
    try:
        return plain if os.path.realpath(plain) == os.path.realpath(path) else str(path)
    except (OSError, ValueError):  # ValueError: a record with a zero byte
        return str(path)
