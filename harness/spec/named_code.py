"""Code that declarations name: call a function, and load a section, with errors that say whose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

from harness.errors import HarnessError
from harness.spec.declarations import OWN, load

S = TypeVar("S")


def call(dotted: str, *words: Any) -> Any:
    """What the function that a declaration names returns.

    Raises:
        HarnessError: it raised that; or an installed package's function is missing or fails.
    """
    return guarded(dotted, load(dotted), *words)


def guarded(dotted: str, function: Callable[..., Any], *words: Any) -> Any:
    """What the function returns.

    Args:
        dotted: the name in a declaration that it comes from.

    Raises:
        HarnessError: it raised that; or it fails and is an installed package's.
    """
    try:
        return function(*words)
    except HarnessError:
        raise
    except Exception as error:
        if dotted.startswith(OWN):
            raise
        why = f"{type(error).__name__}: {error}"
        raise HarnessError(f"{dotted}, of an installed package, fails: {why}") from error


def load_section(what: str, kind: str, dotted: str, base: type[S]) -> type[S]:
    """The section that a declaration names.

    Raises:
        HarnessError: it is not a subclass of `base`, or has another `kind`.
    """
    found: Any = load(dotted)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise HarnessError(f"the {what} {kind} declares {dotted}, which is not a {base.__name__}")
    field = getattr(found, "model_fields", {}).get("kind")
    said = getattr(found, "kind", None) if field is None else get_args(field.annotation)
    if said not in (kind, (kind,)):
        raise HarnessError(f"the {what} {kind}: {dotted} needs the field kind: Literal[{kind!r}]")
    return found
