"""The edition of a task, or of a method's training: a hash of the code and libraries that decide
its numbers.

A result carries its task's edition; results of different editions are never mixed silently. The
code is every module that the task's function imports, directly or indirectly, and that can change
numbers. Comments, docstrings and blank lines are left out.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import harness
from harness.spec.registry import DEFAULT_OPTIMISER, methods, optimisers, task, tasks

SOURCES = ("data", "model", "methods", "runtime", "evaluate", "stage")
"""Packages of the harness whose source decides numbers. Of a package that declares a task, every
module that the task imports counts."""

LISTS = ("box_files", "mask_files")
"""Modules outside them that say which files of a data set are trained and tested on."""

RUNNER = "harness.stage.execute"
"""The code that opens the data and calls every task's function."""

_STRING = "|".join(
    (
        r'"{3}(?:[^\\]|\\.)*?"{3}',
        r"'{3}(?:[^\\]|\\.)*?'{3}",
        r'"(?:[^"\\\n]|\\.)*"',
        r"'(?:[^'\\\n]|\\.)*'",
    )
)
_WORDLESS = re.compile(
    rf"({_STRING})|^[ \t]*(?:#[^\n]*)?\n|[ \t]*#[^\n]*|[ \t]+$", re.DOTALL | re.MULTILINE
)
"""A string, which is kept, or text that computes nothing: blank lines, comments, trailing
spaces."""


def subject(kind: str, method: str, optimiser: str = DEFAULT_OPTIMISER) -> str:
    """The name under which an edition is stored: the task; for a task that trains, with its method
    and, unless it is the default, its optimiser."""
    if kind not in tasks() or not task(kind).trains:
        return kind
    return f"{kind} of {method}" + (f" by {optimiser}" if optimiser != DEFAULT_OPTIMISER else "")


@dataclass(frozen=True)
class Editions:
    """One edition for each subject."""

    by_subject: Mapping[str, str]
    other: str = ""
    """For subjects that are not named: older records had one edition for all."""

    @classmethod
    def same(cls, edition: str) -> Editions:
        """The same edition for all subjects."""
        return cls({}, edition)

    @classmethod
    def read(cls, found: object) -> Editions | None:
        """Parse the output of `record`, or an older record; None if it is neither."""
        if isinstance(found, str):
            return cls.same(found)
        if not isinstance(found, dict) or not all(isinstance(e, str) for e in found.values()):
            return None
        return cls(found)

    def record(self) -> dict[str, str]:
        """As a JSON object."""
        return dict(self.by_subject)

    def __getitem__(self, subject: str) -> str:
        return self.by_subject.get(subject, self.other)

    def __str__(self) -> str:
        """The one edition, or each with its subject, e.g. "knn 0a1b, linear 2c3d"."""
        if len(found := set(self.by_subject.values()) or {self.other}) == 1:
            return found.pop()
        return ", ".join(f"{what} {edition}" for what, edition in self.by_subject.items())


def present() -> Editions:
    """The editions of all declared tasks and methods, for the code and libraries in use."""
    found = itertools.product(tasks(), methods(), optimisers())
    return Editions({subject(*each): edition(*each) for each in found})


def edition(kind: str, method: str, optimiser: str = DEFAULT_OPTIMISER) -> str:
    """Twelve hexadecimal digits for the code and libraries that a task's numbers depend on.

    Args:
        method: the recipe's `contrast.kind`; used for tasks that train a method.
        optimiser: the recipe's `optim.kind`; used for such tasks too.

    Raises:
        KeyError: no such task, method or optimiser is declared.
    """
    return _edition(kind, *((method, optimiser) if task(kind).trains else ("", "")))


@functools.cache
def _edition(kind: str, method: str, optimiser: str) -> str:
    declared = task(kind)
    functions = [declared.function]
    if declared.trains:
        functions += [methods()[method].build, optimisers()[optimiser].build]
    modules = (RUNNER, *(name.partition(":")[0] for name in functions))
    return of_modules(modules, declared.libraries)


def of_modules(modules: tuple[str, ...], libraries: tuple[str, ...]) -> str:
    """Twelve hexadecimal digits for what modules compute: their code, that of their imports, and
    libraries."""
    total = hashlib.sha256()
    for name, path in sorted(closure(*modules).items()):
        total.update(name.encode() + b"\0")
        total.update(_read(path).digest)
    for library in sorted(libraries):
        total.update(f"{library}=={_version(library)}\0".encode())
    return total.hexdigest()[:12]


def closure(*modules: str) -> dict[str, Path]:
    """The modules that decide the numbers of `modules`: these and their imports, by name.

    In the harness only modules in SOURCES and LISTS are followed; in other packages all their own
    modules.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    own = {name.partition(".")[0] for name in modules}
    while waiting:
        name = waiting.pop()
        path = _file(name) if name.partition(".")[0] in own | {"harness"} else None
        if path is None or name in found or not _decides(name):
            continue
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [package, *_read(path).imports(package)]
    return found


def _decides(name: str) -> bool:
    top, *inner = name.split(".")
    return top != "harness" or (bool(inner) and inner[0] in (*SOURCES, *LISTS))


def _file(name: str) -> Path | None:
    """The module's source file; None if it has none, e.g. if the name is a function."""
    top, *inner = name.split(".")
    for root in _roots(top):
        place = root.joinpath(*inner)
        for path in (place.with_suffix(".py") if inner else None, place / "__init__.py"):
            if path is not None and path.is_file():
                return path
    return None if inner else _lone_module(top)


def _lone_module(top: str) -> Path | None:
    """The source file of a top-level module that is not a package."""
    spec = importlib.util.find_spec(top)
    origin = spec.origin if spec is not None and spec.submodule_search_locations is None else None
    return Path(origin) if origin is not None and origin.endswith(".py") else None


def _roots(top: str) -> list[Path]:
    if top == "harness":
        return [Path(harness.__file__).parent]
    spec = importlib.util.find_spec(top)
    return [Path(each) for each in (spec.submodule_search_locations or ())] if spec else []


@dataclass(frozen=True)
class _Source:
    """The parts of a source file that decide numbers."""

    digest: bytes
    imported: tuple[tuple[int, str], ...]
    """(leading dots, name) of each imported module, or name in a module."""

    def imports(self, package: str) -> Iterator[str]:
        """Absolute names of the imports, and of the modules that may contain them."""
        for dots, name in self.imported:
            above = package.split(".")[: len(package.split(".")) + 1 - dots] if dots else []
            full = ".".join([*above, *filter(None, [name])])
            yield full
            yield full.rpartition(".")[0]


@functools.cache
def _read(path: Path) -> _Source:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    code = hashlib.sha256(without_words(text, tree).encode()).digest()
    return _Source(code, tuple(_imports(tree)))


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (
                (node.level, f"{node.module}.{alias.name}" if node.module else alias.name)
                for alias in node.names
            )


def without_words(text: str, tree: ast.AST | None = None) -> str:
    """A module's text without comments, docstrings and blank lines; it computes the same.

    Args:
        tree: the text, parsed; None: parse it here.
    """
    lines = text.encode().split(b"\n")  # columns are counted in bytes
    for body in _bodies(tree or ast.parse(text)):
        words = [each for each in body if _is_text(each)]
        for n, each in enumerate(words):
            first, last = each.lineno - 1, (each.end_lineno or each.lineno) - 1
            alone = b"..." if n == 0 and len(words) == len(body) else b""
            rest = lines[last][each.end_col_offset or 0 :]
            lines[first : last + 1] = [
                lines[first][: each.col_offset] + alone + rest,
                *[b""] * (last - first),
            ]
    return _WORDLESS.sub(lambda found: found[1] or "", b"\n".join(lines).decode())


def _bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            if isinstance(body := getattr(node, field, None), list):
                yield body


def _is_text(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "absent"
