"""World: the processes that train together, and the collectives between them.

Rank r of W holds rows [r n, (r + 1) n) of a global batch of W n. All ranks must call every
collective in the same order. For a single process each collective is the identity, so training
code need not ask how many processes there are.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from harness.errors import HarnessError
from harness.runtime.device_copy import moved
from harness.runtime.environment import Placement
from harness.runtime.failure_detection import FailureDetector, OnLoss, exit_now
from harness.runtime.rendezvous import OpenStore, gather, rendezvous

# torch 2.14 deprecates the name that 2.11 has.
_all_gather: Any = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor

AT_ONCE = 1 << 20
"""Floats that a CPU adds at once: new pages for a large buffer would cost more than sending it."""


class World:
    """`size` processes, of which this is `rank` and computes on `device`.

    Tensors given to a collective must be on `device`. If a peer dies, or a wait exceeds the timeout
    of `join`, the collective raises a LostPeer (a HarnessError) that names it and the lost rank.

    Attributes:
        moved: bytes that this rank has sent to others, by collective. Each piece counts as sent
            directly to the rank that needs it (a sum as a reduce-scatter and a gather).
    """

    def __init__(
        self, rank: int, size: int, device: torch.device, peers: FailureDetector | None = None
    ) -> None:
        self.rank = rank
        self.size = size
        self.device = device
        self.moved: dict[str, int] = {}
        self._peers = peers
        self._agreed: set[str] = set()

    @classmethod
    def alone(cls, device: torch.device) -> World:
        """A world of one process."""
        return cls(0, 1, device)

    def guard(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Turn a communication failure inside into a LostPeer that names `what`."""
        return contextlib.nullcontext() if self._peers is None else self._peers.guard(what)

    @contextlib.contextmanager
    def _sending(self, what: str, count: int) -> Iterator[None]:
        self.moved[what] = self.moved.get(what, 0) + count
        with self.guard(what):
            yield

    def share(self, x: Tensor) -> Tensor:
        """This rank's rows (n, ...) of x (W n, ...), a view; x is what `gather` returned."""
        n = len(x) // self.size
        return x[self.rank * n : (self.rank + 1) * n]

    def gather(self, x: Tensor) -> Tensor:
        """(n, ...) on each rank -> (W n, ...), rows in rank order, any dtype, no gradient.

        Raises:
            HarnessError: on the first call, if shapes or dtypes differ between ranks.
        """
        x = x.detach()
        if self.size == 1:
            return x
        self._agree("gather", lambda: f"{tuple(x.shape)} {x.dtype}")
        return self._gather("gather", x)

    def _gather(self, what: str, x: Tensor) -> Tensor:
        x = x.contiguous()
        out = x.new_empty(self.size * x.shape[0], *x.shape[1:])
        with self._sending(what, x.nbytes * (self.size - 1)):
            _all_gather(_bytes(out), _bytes(x))
        return out

    def gather_with_gradient(self, x: Tensor) -> Tensor:
        """`gather` whose backward pass sums the gradient over ranks and returns this rank's rows.

        `average_` needs that sum. Let rank r's loss be L_r, the global one L = mean_r L_r.
        Rank s receives g_s = sum_r dL_r/dx_s = W dL/dx_s. The gradients' mean over ranks is then
        (1/W) sum_s g_s dx_s/dtheta = sum_s dL/dx_s dx_s/dtheta = dL/dtheta; no rank's factor is
        lost or counted twice. (MoCo v1, Fig. 2a: the end-to-end keys receive gradients.)
        """
        if self.size == 1:
            return x
        self._agree("gather_with_gradient", lambda: f"{tuple(x.shape)} {x.dtype}")
        gathered: Tensor = _Gather.apply(x, self)
        return gathered

    def exchange(self, x: Tensor, there: Tensor) -> Tensor:
        """This rank's share of the permuted global batch: position j holds image there[j].

        Each image is sent only to the rank that needs it, n images per rank in all; an all-gather
        would send W n. No gradient. To undo it, exchange with there.argsort(), or index the result
        of `gather`.

        Args:
            x: (n, ...), any dtype; equal n on all ranks; a channels_last layout is kept.
            there: int64 (W n,), the same on all ranks; on the CPU, else the host has to wait for
                it.

        Raises:
            ValueError: `there` does not have W n entries.
            HarnessError: on the first call, if shapes, dtypes or `there` differ between ranks.
        """
        n = len(x)
        if there.shape != (self.size * n,):
            raise ValueError(f"needs an order of {self.size * n} images, got {tuple(there.shape)}")
        x = x.detach()
        if self.size > 1:
            there = there.cpu()
            self._agree("exchange", lambda: f"{tuple(x.shape)} {x.dtype} {there.tolist()}")
        if x.dim() == 4 and not x.is_contiguous():
            return self._exchange(x.movedim(1, -1), there).movedim(-1, 1)
        return self._exchange(x, there)

    def _exchange(self, x: Tensor, there: Tensor) -> Tensor:
        if self.size == 1:
            return x.index_select(0, moved(there, x.device))
        n = len(x)
        to = (there // n == self.rank).nonzero()[:, 0]  # positions, by rank, of the images here
        sends = (to // n).bincount(minlength=self.size)
        source = there[self.rank * n : (self.rank + 1) * n] // n
        takes = source.bincount(minlength=self.size)
        out = x[moved(there[to] % n, x.device)].contiguous()
        come = out.new_empty(x.shape)
        row = come.nbytes // max(n, 1)
        with self._sending("exchange", row * (len(to) - int(sends[self.rank]))):
            dist.all_to_all_single(_bytes(come), _bytes(out), takes.tolist(), sends.tolist())
        # They arrive ordered by rank, then by position.
        return come[moved(source.argsort(stable=True).argsort(), x.device)]

    def average_(self, x: Tensor, what: str = "mean") -> None:
        """Replace x, floating and contiguous, by its mean over ranks; the same shape on all.

        Each x is divided by W, then added as in `sum`: so the sum overflows only if the mean does.
        A value that is not finite on one rank becomes so on all.
        """
        if self.size > 1:
            self._sum(what, x.div_(self.size))

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """`average_` of tensors of any layout and (floating) dtypes."""
        if self.size > 1:
            for group, flat in _flattened(tensors):
                self.average_(flat)
                _restore(group, flat)

    def broadcast_(self, tensors: Sequence[Tensor], source: int = 0) -> None:
        """Replace each tensor (any dtype) by the one of rank `source`; same shapes everywhere."""
        if self.size > 1:
            for group, flat in _flattened(tensors):
                others = self.size - 1 if self.rank == source else 0
                with self._sending("broadcast", flat.nbytes * others):
                    dist.broadcast(_bytes(flat), source)
                _restore(group, flat)

    def sum(self, x: Tensor) -> Tensor:
        """The sum over ranks of x, float or int32/int64 of any shape; the same bits on all ranks.

        Floats are added in rank order, ((x_0 + x_1) + x_2) ..., for any shape and position. An
        all-reduce chooses its order by position, size and network: with three or more ranks, two
        attempts of a run could differ in the last bit.
        """
        x = x.detach().clone(memory_format=torch.contiguous_format)
        return x if self.size == 1 else self._sum("sum", x)

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set on any rank."""
        if self.size == 1:
            return flag
        return bool(self._sum("any", torch.tensor([flag], dtype=torch.int32, device=self.device)))

    def barrier(self) -> None:
        """Wait until every rank has called it."""
        if self.size > 1:
            # dist.barrier would return immediately on a GPU.
            self._sum("barrier", torch.zeros(1, dtype=torch.int32, device=self.device)).item()

    def same(self, value: str, what: str = "what to run") -> None:
        """Raise a HarnessError on every rank unless all have the same `value`."""
        if self.size == 1:
            return
        digest = hashlib.blake2b(value.encode(), digest_size=32).digest()
        mine = torch.frombuffer(bytearray(digest), dtype=torch.uint8).to(self.device)
        digests = self._gather("same", mine[None])
        if bool((digests == digests[0]).all()):
            return
        values: list[str] = [""] * self.size
        with self.guard("same"):
            dist.all_gather_object(values, value)
        raise HarnessError(
            f"the processes disagree on {what}: "
            + "; ".join(
                f"rank {', '.join(str(r) for r, v in enumerate(values) if v == one)}: {one[:200]}"
                for one in dict.fromkeys(values)
            )
            + ". Start all processes with the same code, recipe and data"
        )

    def same_tensors(self, tensors: Mapping[str, Tensor], what: str) -> None:
        """`same` for named tensors, bit for bit; the error names the first that differs."""
        if self.size == 1:
            return
        self.same(", ".join(tensors), f"the names of {what}")
        mine = torch.stack([_digest(tensor) for tensor in tensors.values()]).to(self.device)
        digests = self._gather("same", mine[None])  # (W, tensors, 16)
        odd = (digests != digests[0]).any(2).cpu()
        if not bool(odd.any()):
            return
        others = ", ".join(str(rank) for rank in odd.any(1).nonzero()[:, 0].tolist())
        unlike = [name for name, at in zip(tensors, odd.any(0).tolist(), strict=True) if at]
        raise HarnessError(
            f"the processes disagree on {what}: {unlike[0]} on rank {others} differs from rank 0 "
            f"({len(unlike)} of {len(tensors)} tensors differ). Start all processes with the same "
            "code, recipe and data, on shared storage"
        )

    def _agree(self, what: str, value: Callable[[], str]) -> None:
        """`same`, on the first call of a collective: sizes that differ would fail obscurely."""
        if what not in self._agreed:
            self._agreed.add(what)
            self.same(value(), f"the batch of {what!r}")

    def _sum(self, what: str, x: Tensor) -> Tensor:
        """`sum` in place of x, contiguous: each rank adds one part for all ranks."""
        if not x.is_floating_point():  # exact in any order
            with self._sending(what, 2 * x.nbytes * (self.size - 1) // self.size):
                dist.all_reduce(x)
            return x
        if not x.numel():
            return x
        at_once = AT_ONCE if x.device.type == "cpu" else x.numel()
        for flat in torch.split(x.view(-1), at_once):
            self._sum_part(what, flat)
        return x

    def _sum_part(self, what: str, flat: Tensor) -> None:
        short = -len(flat) % self.size
        filled = F.pad(flat, (0, short)) if short else flat
        mine = self._sum_of_rows(what, filled)
        with self._sending(what, mine.nbytes * (self.size - 1)):
            _all_gather(_bytes(filled), _bytes(mine))
        if short:
            flat.copy_(filled[: len(flat)])

    def _sum_of_rows(self, what: str, x: Tensor) -> Tensor:
        """(W n, ...) on each rank -> (n, ...): this rank's rows of the sum, added in rank order."""
        x = x.contiguous()
        come = torch.empty_like(x)
        with self._sending(what, x.nbytes // self.size * (self.size - 1)):
            dist.all_to_all_single(_bytes(come), _bytes(x))
        # One after the other: torch.sum's order over a dimension depends on position and shape.
        total, *others = come.chunk(self.size)
        for other in others:
            total += other
        return total


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, world: World) -> Tensor:
        ctx.world = world  # type: ignore[attr-defined]
        return world._gather("gather_with_gradient", x)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        world: World = ctx.world  # type: ignore[attr-defined]
        return world._sum_of_rows("gather_with_gradient", gradient), None


def _bytes(x: Tensor) -> Tensor:
    """The memory of a contiguous x as uint8 (len(x), bytes per row): backends know few dtypes."""
    return x.view(len(x), math.prod(x.shape[1:])).view(torch.uint8)


def _digest(x: Tensor) -> Tensor:
    """A digest, 16 bytes, of dtype, shape and bits."""
    total = hashlib.blake2b(f"{x.dtype} {tuple(x.shape)}".encode(), digest_size=16)
    total.update(x.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return torch.frombuffer(bytearray(total.digest()), dtype=torch.uint8)


def _flattened(tensors: Sequence[Tensor]) -> list[tuple[list[Tensor], Tensor]]:
    """For each dtype, its tensors and one contiguous copy (m,) of all their values."""
    groups: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return [
        (group, torch.cat([tensor.detach().reshape(-1) for tensor in group]))
        for group in groups.values()
    ]


@torch.no_grad()
def _restore(group: Sequence[Tensor], flat: Tensor) -> None:
    for tensor, part in zip(group, torch.split(flat, [t.numel() for t in group]), strict=True):
        tensor.copy_(part.view(tensor.shape))


@contextlib.contextmanager
def join(
    placement: Placement,
    device: torch.device,
    *,
    timeout: float = 60,
    rendezvous_timeout: float | None = None,
    store: OpenStore | None = None,
    stopping: Callable[[], bool] = lambda: False,
    on_loss: OnLoss = exit_now,
) -> Iterator[World]:
    """The world of `placement` (gloo on the CPU, NCCL on CUDA); it is left at the block's end.

    A process that leaves by an exception reports the reason to the others. On CUDA a collective
    does not wait, and no exception can be raised while the host waits for the device: there a loss
    ends the process by `on_loss`. Only the backend's `timeout` finds a peer that waits for ever
    while its threads still run.

    Args:
        timeout: seconds that the others may be late in any collective. Work of a single rank (a
            checkpoint, an evaluation) has to be shorter.
        rendezvous_timeout: seconds that rank 0 may be late at the rendezvous; None: a minute, or
            `timeout` if that is shorter. The wait for the others is as long, and at least
            `timeout`.
        store: opens another store than rank 0's at the placement's address and port.
        stopping: whether to stop; asked until the rendezvous is complete.
        on_loss: called on another thread, within a minute, if the loss of a peer cannot be raised;
            it must not return.

    Raises:
        RendezvousFailed: a process was asked to stop before the rendezvous.
        HarnessError: the rendezvous failed, or a process was lost.
    """
    if placement.size == 1:
        yield World.alone(device)
        return
    span = timedelta(seconds=timeout)
    arrival_timeout = min(60, timeout) if rendezvous_timeout is None else rendezvous_timeout
    own, peers = rendezvous(placement, arrival_timeout, store, stopping, on_loss)
    try:
        with peers.guard("join"):
            gather(own, placement, max(arrival_timeout, timeout), stopping)
            if device.type == "cuda":
                torch.cuda.set_device(device)
            dist.init_process_group(
                "nccl" if device.type == "cuda" else "gloo",
                store=own,
                rank=placement.rank,
                world_size=placement.size,
                timeout=span,
                device_id=device if device.type == "cuda" else None,
            )
        world = World(placement.rank, placement.size, device, peers)
        yield world
        world.barrier()  # a stage is finished when all its processes are
    except BaseException as error:
        peers.leave(error)
        raise
    finally:
        peers.close()
        if dist.is_initialized():
            with contextlib.suppress(RuntimeError):  # connections may be broken already
                dist.destroy_process_group()
