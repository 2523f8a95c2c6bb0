"""Read a pickle of NumPy arrays without unpickling: no object but arrays and plain containers can
come of it, and no code can run.

Python's own unpickler imports and calls what a file names. Here each opcode is carried out by hand
from a short list, and the few names that stand for arrays are never imported.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_OPCODES = 200_000
"""A file of a network has some ten thousand."""
MOST_DIMENSIONS = 8

_TYPE = re.compile(r"[<>|=]?(f[248]|[iu][1248]|b1)")


class Refused(Exception):
    """The pickle is damaged, or holds something else; says what, without the file's name."""


@dataclass
class _DType:
    """A type of numbers."""

    code: str

    def build(self, state: Any) -> None:
        wanted = isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None, None, None)
        if not wanted or state[1] not in ("<", ">", "|", "="):
            raise Refused("an array of other things than numbers")
        self.code = state[1] + self.code.lstrip("<>|=")


@dataclass
class _Array:
    """An array, which has its numbers once it is built."""

    value: NDArray[Any] | None = None

    def build(self, state: Any) -> None:
        if self.value is not None or not isinstance(state, tuple) or len(state) != 5:
            raise Refused("an array that is built in an unknown way")
        _, shape, dtype, fortran, raw = state
        if isinstance(raw, str):  # a text of Python 2
            raw = raw.encode("latin-1")
        self.value = _numbers(shape, dtype, raw, "F" if fortran else "C")


@dataclass(frozen=True)
class _Global:
    """A name that stands for one of CALLS."""

    name: str


def read(content: bytes) -> Any:
    """What the pickle holds: dictionaries, lists, tuples, texts, bytes, numbers and arrays.

    An array is a view of the bytes that the pickle holds, which is all the memory that it takes.

    Raises:
        Refused: it is damaged, or holds anything else.
    """
    try:
        return _Reader(content).read()
    except Refused:
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        cause = " ".join(ascii(str(error)).split())[:80]
        raise Refused(f"no complete pickle ({cause})") from None


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def read(self) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self.content)):
            if count == MOST_OPCODES:
                raise Refused(f"more than {MOST_OPCODES:,} opcodes")
            if opcode.name == "STOP":
                return _finished(self.stack.pop())
            if opcode.name in PLAIN:
                self.stack.append(argument)
            elif opcode.name in ("PROTO", "FRAME"):
                continue
            elif (carry_out := ACTIONS.get(opcode.name)) is not None:
                carry_out(self, argument)
            else:
                raise Refused(f"the opcode {opcode.name}, which no array needs")
        raise Refused("no end")

    def since_mark(self) -> list[Any]:
        at = self.marks.pop()
        items, self.stack[at:] = self.stack[at:], []
        return items

    def tuple_of(self, count: int) -> None:
        at = len(self.stack) - count
        if at < 0:
            raise Refused("too few values")
        self.stack[at:] = [tuple(self.stack[at:])]

    def put(self, key: int) -> None:
        self.memo[key] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise Refused("an object that is filled as a list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict or len(items) % 2:
            raise Refused("an object that is filled as a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int):  # the hash of nested tuples may take for ever
                raise Refused("a dictionary whose keys are no texts")
            self.stack[-1][key] = value

    def dictionary(self, items: list[Any]) -> None:
        self.stack.append({})
        self.set_items(items)

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise Refused("a name that is no text")
        self.named(f"{module} {name}")

    def named(self, name: str) -> None:
        if name not in CALLS:
            shown = ascii(name)[1:-1][:80]
            raise Refused(f"{shown}, which is no array; loading such objects can run code")
        self.stack.append(_Global(name))

    def call(self) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, _Global) or not isinstance(arguments, tuple):
            raise Refused("a call of something that is no array")
        self.stack.append(CALLS[called.name](self, *arguments))

    def build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Array | _DType):
            raise Refused("an object with a state that is no array")
        self.stack[-1].build(state)

    # ---- what stands for a name

    def bytes_of(self, text: Any = b"", encoding: Any = "latin-1") -> bytes:
        if isinstance(text, str) and encoding in ("latin1", "latin-1"):
            text = text.encode("latin-1")
        if not isinstance(text, bytes | bytearray):
            raise Refused("bytes that are made of something else")
        self.copied += len(text)
        if self.copied > len(self.content):  # the same text, copied again and again
            raise Refused("more bytes than the file has")
        return bytes(text)

    def reconstruct(self, *_: Any) -> _Array:
        return _Array()

    def dtype(self, code: Any, *_: Any) -> _DType:
        if not isinstance(code, str) or not _TYPE.fullmatch(code):
            raise Refused("an array of other things than numbers")
        return _DType(code)

    def ndarray(self, shape: Any, dtype: Any, raw: Any) -> _Array:
        made = dtype if isinstance(dtype, _DType) else self.dtype(dtype)
        return _Array(_numbers(shape, made, raw, "C"))

    def from_buffer(self, raw: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        return _Array(_numbers(shape, dtype, raw, order))

    def ordered(self, *items: Any) -> dict[Any, Any]:
        if items:
            raise Refused("an ordered dictionary that is built in an unknown way")
        return {}


def _numbers(shape: Any, dtype: Any, raw: Any, order: Any) -> NDArray[Any]:
    if not isinstance(dtype, _DType) or not isinstance(raw, bytes | bytearray):
        raise Refused("an array of other things than numbers")
    sides = shape if isinstance(shape, tuple) else ()
    good = type(shape) is tuple and len(sides) <= MOST_DIMENSIONS and order in ("C", "F")
    if not good or not all(type(side) is int and side >= 0 for side in sides):
        raise Refused("an array of no possible shape")
    kind = np.dtype(dtype.code)
    if math.prod(sides) * kind.itemsize != len(raw):
        raise Refused("an array with another number of bytes than its shape needs")
    found: NDArray[Any] = np.frombuffer(raw, kind).reshape(sides, order=order)
    return found


def _finished(value: Any) -> Any:
    """The value; arrays that are its own, or in dictionaries in it, are NumPy's."""
    waiting = [value]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if not isinstance(each, dict) or id(each) in seen:
            continue
        seen.add(id(each))
        for key, inside in each.items():
            if isinstance(inside, _Array):
                each[key] = _value(inside)
            waiting.append(inside)
    return _value(value) if isinstance(value, _Array) else value


def _value(array: _Array) -> NDArray[Any]:
    if array.value is None:
        raise Refused("an array without its numbers")
    return array.value


_MULTIARRAY = "_reconstruct", "numpy.core.multiarray", "numpy._core.multiarray"
_NUMERIC = "_frombuffer", "numpy.core.numeric", "numpy._core.numeric"

CALLS: dict[str, Callable[..., Any]] = {
    "numpy ndarray": _Reader.ndarray,
    "numpy dtype": _Reader.dtype,
    **{f"{module} {_MULTIARRAY[0]}": _Reader.reconstruct for module in _MULTIARRAY[1:]},
    **{f"{module} {_NUMERIC[0]}": _Reader.from_buffer for module in _NUMERIC[1:]},
    "_codecs encode": _Reader.bytes_of,
    "builtins bytearray": _Reader.bytes_of,
    "__builtin__ bytearray": _Reader.bytes_of,
    "collections OrderedDict": _Reader.ordered,
}
"""What may be called, by its name in a pickle, and what is done in its place."""

PLAIN = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
"""Opcodes that push their argument."""

ACTIONS: dict[str, Callable[[_Reader, Any], None]] = {
    "NONE": lambda self, _: self.stack.append(None),
    "NEWTRUE": lambda self, _: self.stack.append(True),
    "NEWFALSE": lambda self, _: self.stack.append(False),
    "MARK": lambda self, _: self.marks.append(len(self.stack)),
    "POP": lambda self, _: self.stack.__delitem__(-1),
    "EMPTY_TUPLE": lambda self, _: self.stack.append(()),
    "TUPLE": lambda self, _: self.stack.append(tuple(self.since_mark())),
    "TUPLE1": lambda self, _: self.tuple_of(1),
    "TUPLE2": lambda self, _: self.tuple_of(2),
    "TUPLE3": lambda self, _: self.tuple_of(3),
    "EMPTY_LIST": lambda self, _: self.stack.append([]),
    "LIST": lambda self, _: self.stack.append(self.since_mark()),
    "APPEND": lambda self, _: self.append([self.stack.pop()]),
    "APPENDS": lambda self, _: self.append(self.since_mark()),
    "EMPTY_DICT": lambda self, _: self.stack.append({}),
    "DICT": lambda self, _: self.dictionary(self.since_mark()),
    "SETITEM": lambda self, _: self.set_items([self.stack.pop(-2), self.stack.pop()]),
    "SETITEMS": lambda self, _: self.set_items(self.since_mark()),
    "PUT": lambda self, argument: self.put(argument),
    "BINPUT": lambda self, argument: self.put(argument),
    "LONG_BINPUT": lambda self, argument: self.put(argument),
    "MEMOIZE": lambda self, _: self.put(len(self.memo)),
    "GET": lambda self, argument: self.stack.append(self.memo[argument]),
    "BINGET": lambda self, argument: self.stack.append(self.memo[argument]),
    "LONG_BINGET": lambda self, argument: self.stack.append(self.memo[argument]),
    "GLOBAL": lambda self, argument: self.named(argument),
    "STACK_GLOBAL": lambda self, _: self.stack_global(),
    "REDUCE": lambda self, _: self.call(),
    "BUILD": lambda self, _: self.build(),
}
"""The other opcodes, and what each does."""
