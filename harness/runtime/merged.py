"""Many tensors in one, so that one operation updates them all.

On a CPU it costs more to start an operation than a small tensor's arithmetic, and a network has
dozens of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

ALIGNED = 128
"""Each tensor begins at a multiple of so many numbers: 512 bytes of float32, as CUDA's allocator
gives them; what lies between two is 0."""


class Merged:
    """Tensors whose memory lies in one, `whole` (n,): what changes it changes them.

    They keep their shapes and strides. A later change of their device, dtype or layout parts them
    from it again: ask `holds`.

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
        """The piece of `whole` that holds these, which are some of its tensors, one after the
        other. AssertionError if they are not."""
        wanted = [id(tensor) for tensor in tensors]
        first = [id(tensor) for tensor in self.tensors].index(wanted[0])
        last = first + len(wanted)
        assert [id(tensor) for tensor in self.tensors[first:last]] == wanted, "others lie between"
        ends = [*self._starts, len(self.whole)]
        return self.whole[ends[first] : ends[last]]

    def holds(self) -> bool:
        """Whether each still lies where it was put."""
        return all(
            tensor.data_ptr() == place
            for tensor, place in zip(self.tensors, self._places, strict=True)
        )

    def views(self, other: Tensor) -> list[Tensor]:
        """Parts of `other` (n,), which lie in it as the tensors do in `whole`."""
        return [
            other[start:].as_strided(tensor.shape, tensor.stride(), other.storage_offset() + start)
            for start, tensor in zip(self._starts, self.tensors, strict=True)
        ]
