"""The safetensors format: a length, a JSON header, the tensors' bytes.

Written here, because the library's own writer orders its metadata anew in each process: the same
network would have another SHA-256 each time.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import torch
from torch import Tensor

_TYPES = {torch.float32: "F32", torch.int64: "I64"}
ALIGNMENT = 8


def encoded(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The file's content.

    Args:
        tensors: float32 or int64, by name.
        metadata: texts that travel in the file's header.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    parts: list[bytes] = []
    end = 0
    # Tensors lie in order of their types' size, then their names, so that each is aligned.
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):
        tensor = tensors[name]
        parts.append(tensor.contiguous().numpy().tobytes())
        start, end = end, end + len(parts[-1])
        header[name] = {
            "dtype": _TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    said = json.dumps(header, separators=(",", ":")).encode()
    said += b" " * (-len(said) % ALIGNMENT)
    return struct.pack("<Q", len(said)) + said + b"".join(parts)
