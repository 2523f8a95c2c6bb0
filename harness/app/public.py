"""What the functions of `harness.app` accept besides their types, as a notebook hands it over."""

from __future__ import annotations

import functools
import inspect
import operator
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from harness.errors import RecipeError, unreadable

P = ParamSpec("P")
R = TypeVar("R")


def public(function: Callable[P, R]) -> Callable[P, R]:
    """A function of `harness.app`.

    Text is taken for a path where its type is Path, one text for a sequence of one, any iterable
    for a sequence, and numpy's integers for seeds. A limit of the machine, such as a folder that
    cannot be read, is a HarnessError, as on the command line.

    Raises:
        RecipeError: an argument is nothing of the kind, or a name has a null character.
    """
    signature = inspect.signature(function)
    readers = {
        name: reader
        for name, each in signature.parameters.items()
        if (reader := READERS.get(str(each.annotation).removesuffix(" | None")))
    }

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        for name in bound.arguments.keys() & readers:
            if bound.arguments[name] is not None:
                bound.arguments[name] = readers[name](name, bound.arguments[name])
        try:
            return function(*bound.args, **bound.kwargs)
        except OSError as error:
            if (found := unreadable(error)) is None:
                raise
            raise found from error

    return called


def _whole_number(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise RecipeError(f"{name}: {value!r} is no whole number") from None


def _path(name: str, value: Any) -> Path:
    return Path(_named(name, value))


def _named(name: str, value: Any) -> Any:
    if "\0" in os.fspath(value):
        raise RecipeError(f"{name}: {os.fspath(value)!r}: no name may have a null character")
    return value


def _all(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str | os.PathLike):
        return (value,)
    if not isinstance(value, Iterable):
        raise RecipeError(f"{name}: {value!r} is no list")
    return tuple(value)


def _names(name: str, value: Any) -> tuple[Any, ...]:
    return tuple(_named(name, each) for each in _all(name, value))


def _texts(name: str, value: Any) -> tuple[str, ...]:
    return tuple(str(_named(name, each)) for each in _all(name, value))


def _numbers(name: str, value: Any) -> tuple[int, ...]:
    return tuple(_whole_number(name, each) for each in _all(name, value))


READERS: dict[str, Callable[[str, Any], Any]] = {
    "Path": _path,
    "Path | str": _named,
    "Sequence[Path | str]": _names,
    "Sequence[str]": _texts,
    "str | Sequence[str]": _texts,
    "Sequence[int]": _numbers,
}
"""Type of an argument, as it is written -> what reads it."""
