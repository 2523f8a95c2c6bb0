"""Files in the safetensors format: a header in JSON, then the tensors' bytes; no code.

Format: https://huggingface.co/docs/safetensors. Written here because the library's own writer
orders its metadata differently in each process: the same network would get another SHA-256.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import DataError

TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
         "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
         "U8": torch.uint8, "BOOL": torch.bool}  # fmt: skip
NAMES = {dtype: name for name, dtype in TYPES.items()}
METADATA = "__metadata__"
ALIGNMENT = 8


def read(path: Path) -> dict[str, Tensor]:
    """The file's tensors by name.

    Raises:
        DataError: it is truncated or damaged, or of a newer format.
        OSError: it cannot be read.
    """
    content = bytearray(path.read_bytes())
    begin = 8 + int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8:begin])
        found = {
            name: _tensor(content, begin, said) for name, said in header.items() if name != METADATA
        }
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        cause = " ".join(ascii(str(error)).split())[:80]
        raise DataError(
            f"{path}: not a safetensors file: truncated, damaged, or of a newer format ({cause}); "
            "download it again"
        ) from None
    return found


def _tensor(content: bytearray, begin: int, said: dict[str, Any]) -> Tensor:
    """One tensor. KeyError, TypeError or ValueError if the header does not match the file."""
    dtype, shape, (first, end) = TYPES[said["dtype"]], said["shape"], said["data_offsets"]
    if not all(type(each) is int and each >= 0 for each in (first, end, *shape)):
        raise ValueError("an invalid size")
    count = math.prod(shape)
    if end - first != count * dtype.itemsize or begin + end > len(content):
        raise ValueError("a tensor with the wrong number of bytes")
    if not count:
        return torch.zeros(shape, dtype=dtype)
    if (begin + first) % dtype.itemsize:  # torch reads only aligned data
        part = content[begin + first : begin + end]
        return torch.frombuffer(part, dtype=dtype, count=count).reshape(shape)
    return torch.frombuffer(content, dtype=dtype, count=count, offset=begin + first).reshape(shape)


def encoded(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The file's content.

    Args:
        tensors: by name.
        metadata: texts for the file's header.
    """
    header: dict[str, object] = {METADATA: dict(metadata)}
    parts: list[bytes] = []
    end = 0
    # Tensors are ordered by size of their type, then name, so that each is aligned.
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):
        tensor = tensors[name]
        parts.append(tensor.contiguous().numpy().tobytes())
        start, end = end, end + len(parts[-1])
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    said = json.dumps(header, separators=(",", ":")).encode()
    said += b" " * (-len(said) % ALIGNMENT)
    return struct.pack("<Q", len(said)) + said + b"".join(parts)
