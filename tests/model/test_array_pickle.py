"""A pickle is read as arrays in plain containers; whatever else it says, nothing of it is done."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.model.array_pickle import MOST_OPCODES, Refused, read

ARRAYS = {
    "a": np.arange(24, dtype="<f4").reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6, dtype="<f8").reshape(2, 3)),
    "big_endian": np.arange(4, dtype=">f4"),
    "half": np.arange(3, dtype="<f2"),
    "whole": np.arange(-2, 3, dtype="<i8"),
    "scalar": np.array(3.5, dtype="<f4"),
    "bytes": np.arange(256, dtype=np.uint8),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_in_plain_containers(protocol: int) -> None:
    content = {"model": ARRAYS, "__author__": "x", "n": [1, (2.5, None)], 3: (True, -1, 1 << 70)}
    found = read(pickle.dumps(content, protocol))
    assert {key: found[key] for key in ("__author__", "n", 3)} == {
        key: content[key] for key in ("__author__", "n", 3)
    }
    for name, array in ARRAYS.items():
        assert found["model"][name].dtype == array.dtype
        assert np.array_equal(found["model"][name], array)


def test_a_pickle_of_python_2() -> None:
    """Its arrays hold their bytes as texts, which Python's own unpickler reads as latin-1."""
    raw = np.array([1.5, -2.0, 255.0], dtype="<f4").tobytes()
    content = (
        b"\x80\x02}q\x00U\x07conv1_wq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02"
        b"cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04(K\x01K\x03\x85cnumpy\ndtype\nq\x05"
        b"U\x02f4K\x00K\x01\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + b"U" + bytes([len(raw)]) + raw + b"tbs."
    )  # fmt: skip
    wanted = pickle.loads(content, encoding="latin1")
    assert list(wanted["conv1_w"]) == [1.5, -2.0, 255.0]
    assert list(read(content)["conv1_w"]) == [1.5, -2.0, 255.0]


class Runs:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.made = call, arguments

    def __reduce__(self) -> Any:
        return self.made


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _nested(depth: int) -> bytes:
    """A dictionary whose key is a tuple of a tuple ... twice each: its hash takes 2^depth steps."""
    return b"\x80\x02})" + b"q\x00h\x00\x86" * depth + b"K\x01s."


def _copies() -> bytes:
    """A text of a megabyte, encoded five thousand times."""
    text = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"q\x00"
    one = b"c_codecs\nencode\nh\x00" + _text("latin1") + b"\x86R"
    return b"\x80\x02]" + text + b"0(" + one * 5000 + b"e."


def _array(side: bytes) -> bytes:
    """An array of two such sides over four bytes."""
    shape = b"(J" + side + b"J" + side + b"t"
    return b"\x80\x03cnumpy\nndarray\n" + shape + _text("<f4") + b"C\x041234\x87R."


HOSTILE = {
    "a command": lambda: pickle.dumps({"model": Runs(os.system, "touch ran")}),
    "a command, by text": lambda: b"cposix\nsystem\n(S'touch ran'\ntR.",
    "a command, as an instance": lambda: b"(S'touch ran'\niposix\nsystem\n.",
    "a command, as an object": lambda: b"\x80\x02(cposix\nsystem\n" + _text("touch ran") + b"o.",
    "a command inside an array's state": lambda: pickle.dumps(
        [ARRAYS["a"], {"b": [(Runs(os.system, "touch ran"),)]}]
    ),
    "eval": lambda: pickle.dumps(Runs(eval, "open('ran', 'w')")),
    "a function of numpy": lambda: pickle.dumps(Runs(np.zeros, 10**12)),
    "an attribute of an allowed module": lambda: b"cnumpy\nndarray.tofile\n(tR.",
    "objects": lambda: pickle.dumps({"a": np.array([Runs(os.system, "touch ran")], dtype=object)}),
    "fields": lambda: pickle.dumps(np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")])),
    "an extension": lambda: b"\x80\x02\x82\x01.",
    "a persistent object": lambda: b"Pstorage\n.",
    "a set": lambda: pickle.dumps({1, 2}),
    "a number called": lambda: b"\x80\x02K\x01)R.",
    "an array of a terabyte": lambda: _array(b"\x00\x00\x00\x7f"),
    "an array of minus one": lambda: _array(b"\xff\xff\xff\xff"),
    "bytes of a terabyte": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"1.",
    "a bytearray of a terabyte": lambda: b"cbuiltins\nbytearray\n(L1099511627776L\ntR.",
    "a memo of a billion": lambda: b"\x80\x02Nr\xff\xff\xff\x7f0",
    "copies": _copies,
    "a nested key": lambda: _nested(60),
    "a deep list": lambda: b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"b.",
    "opcodes without end": lambda: b"\x80\x02" + b"N0" * MOST_OPCODES + b"N.",
    "a long number": lambda: b"I" + b"9" * 100_000 + b"\n.",
    "nothing": lambda: b"",
    "a beginning": lambda: pickle.dumps(ARRAYS)[:-9],
    "another file": lambda: b"PK\x03\x04" + bytes(100),
    "an array without numbers": lambda: b"cnumpy.core.multiarray\n_reconstruct\n(tR.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = HOSTILE[name]()
    tracemalloc.start()
    try:
        with pytest.raises(Refused) as caught:
            read(content)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(content) + (80 << 20)
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert not (tmp_path / "ran").exists()
