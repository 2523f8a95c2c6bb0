"""Many tensors merged into one, so that one operation updates them all.

On a CPU, starting an operation costs more than the arithmetic of a small tensor, and a network has
dozens of such tensors.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

ALIGNED = 128
"""Each tensor starts at a multiple of this many numbers: 512 bytes of float32, the alignment of
CUDA's allocator. The gaps are 0."""


class Merged:
    """Tensors that share the memory of one tensor, `whole` (n,): changing it changes them.

    They keep their shapes and strides. Changing their device, dtype or layout later separates them
    from `whole`; `holds` checks this.

    Args:
        tensors: dense, of one dtype, on one device.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = list(tensors)
        self._starts: list[int] = []
        end = 0
        for tensor in self.tensors:
            self._starts.append(end)
            end += -(-tensor.numel() // ALIGNED) * ALIGNED
        self.whole = self.tensors[0].new_zeros(end)
        for tensor, place in zip(self.tensors, self.views(self.whole), strict=True):
            place.copy_(tensor.detach())
            tensor.data = place
        self._places = [tensor.data_ptr() for tensor in self.tensors]

    def part(self, tensors: Iterable[Tensor]) -> Tensor:
        """The part of `whole` that holds these tensors, which must be consecutive in it.
        AssertionError if they are not."""
        wanted = [id(tensor) for tensor in tensors]
        first = [id(tensor) for tensor in self.tensors].index(wanted[0])
        last = first + len(wanted)
        assert [id(tensor) for tensor in self.tensors[first:last]] == wanted, (
            "other parameters lie between them"
        )
        ends = [*self._starts, len(self.whole)]
        return self.whole[ends[first] : ends[last]]

    def holds(self) -> bool:
        """Whether each tensor still lies where it was placed."""
        return all(
            tensor.data_ptr() == place
            for tensor, place in zip(self.tensors, self._places, strict=True)
        )

    def views(self, other: Tensor) -> list[Tensor]:
        """Views of `other` (n,) at the positions that the tensors have in `whole`."""
        return [
            other[start:].as_strided(tensor.shape, tensor.stride(), other.storage_offset() + start)
            for start, tensor in zip(self._starts, self.tensors, strict=True)
        ]
