"""How to convert a pickle that holds other objects to its tensors, without running its code."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class _Object:
    """Placeholder for an object of the file; `called` is its class or function."""

    called = ""

    def __new__(cls, *_: object, **__: object) -> _Object:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, *_: object) -> None: ...

    def append(self, _: object) -> None:
        """As a list, if it stands for one."""

    def extend(self, _: object) -> None:
        """As a list, if it stands for one."""

    def add(self, _: object) -> None:
        """As a set, if it stands for one."""

    @property
    def is_module(self) -> bool:
        return isinstance(self.state, dict) and "_modules" in self.state


class _Dict(dict[Any, Any]):
    def __setstate__(self, _: object) -> None: ...


class _Outline(pickle.Unpickler):
    """Creates a placeholder in place of each object of the file."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _Dict
        return type(name, (_Object,), {"called": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:
        # torch's old format stores modules' classes and tensors' storages this way
        return pid[1] if pid[0] == "module" else _Object()


def how_to_convert(path: Path) -> str:
    """A Python statement that saves only the file's tensors, from `old` as `new`; "" if none is
    known."""
    try:
        loaded, state = _read(path)
        return next(_statements(loaded, state), "")
    except Exception:  # a file may contain anything
        return ""


def _read(path: Path) -> tuple[str, Any]:
    """(the expression that loads the file, what it holds)."""
    content = path.read_bytes()
    torch_loads = "torch.load(old, weights_only=False)"
    if content.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.split("/", 1)[-1] == "data.pkl")
            return torch_loads, _Outline(io.BytesIO(archive.read(name))).load()
    file = io.BytesIO(content)
    first = _Outline(file).load()
    if not isinstance(first, int):
        return "pickle.load(open(old, 'rb'))", first
    _, _, state = (_Outline(file).load() for _ in range(3))  # the old format has two more before it
    return torch_loads, state


def _statements(loaded: str, state: Any) -> Iterator[str]:
    """One statement per place that holds tensors; those under state_dict come first."""
    places = [("", state)]
    if isinstance(state, dict):
        inner = sorted(state.items(), key=lambda item: item[0] != "state_dict")
        places = [*((f"[{key!r}]", each) for key, each in inner if isinstance(key, str)), *places]
    for at, found in places:
        if isinstance(found, _Object) and found.is_module:
            yield f"torch.save({loaded}{at}.state_dict(), new)"
        values = found.values() if isinstance(found, dict) else ()
        kinds = [each.called for each in values if isinstance(each, _Object)]
        if any(kind.startswith("torch._utils._rebuild_") for kind in kinds):
            yield f"torch.save({loaded}{at}, new)"
        elif any(kind.startswith("numpy.") for kind in kinds):
            arrays = f"{loaded}{at}.items() if hasattr(v, 'shape')"
            yield f"torch.save({{k: torch.as_tensor(v) for k, v in {arrays}}}, new)"
