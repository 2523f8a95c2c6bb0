"""One pre-training step of MoCo, spelled out from v1's Algorithm 1 and Section 3."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

RunningStats = Literal["first_group", "mean"]


def l2_normalise(vector: Tensor) -> Tensor:
    """v / max(|v|, 1e-12), for one vector (v1 Sec. 3.3: "normalized by its L2-norm")."""
    length: Tensor = torch.linalg.vector_norm(vector)
    return vector / length.clamp_min(1e-12)


def info_nce(query: Tensor, key: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """InfoNCE of one query: the log loss of a (K+1)-way softmax (v1 Eq. 1).

    query (dim,) and key (dim,) are a positive pair, negatives (K, dim) are the queue's rows.
    """
    scores = [query @ key] + [query @ negative for negative in negatives]
    logits = torch.stack(scores) / temperature  # (K+1,): the positive is class 0
    shifted = logits - logits.max().detach()  # the same softmax, safe from overflow
    return -(shifted[0] - shifted.exp().sum().log())


def forward_in_groups(
    encoder: nn.Module, images: Tensor, group: int, running_stats: RunningStats
) -> Tensor:
    """Train-mode outputs with batch statistics per contiguous group [0, g), [g, 2g), ...

    v1 Sec. 3.3 and code: a group is what one GPU holds, so the encoder simply runs on each alone.
    Every group starts from the same running statistics. Afterwards the encoder holds the first
    group's (code: rank 0's buffers are the ones broadcast) or the groups' mean (demo: SplitBN).
    """
    count = images.shape[0]
    if group < 1 or count % group:
        raise ValueError(f"a batch of {count} cannot be cut into groups of {group}")
    encoder.train()
    statistics: list[dict[str, Tensor]] = []
    outputs: list[Tensor] = []
    for first in range(0, count, group):
        own = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
        outputs.append(functional_call(encoder, own, (images[first : first + group],)))
        statistics.append(own)  # the forward pass has updated them in place
    with torch.no_grad():
        for name, buffer in encoder.named_buffers():
            kept = statistics[0][name]
            if running_stats == "mean" and kept.is_floating_point():  # not the counter of steps
                kept = torch.stack([each[name] for each in statistics]).mean(dim=0)
            buffer.copy_(kept)
    return torch.cat(outputs)


class MocoOracle:
    """Both encoders, the queue and the optimiser's state, advanced one step at a time.

    `query` is an encoder with ordinary batch norm that maps (n, 3, H, W) to (n, dim), not
    normalised; it is copied, so the caller's module stays as it was. `queue` (K, dim) holds the
    initial rows, already normalised; row 0 is the first to be replaced. `lr` may be set between
    steps. After a step, `queries` and `keys` (N, dim) are the embeddings that it compared, in
    batch order, and `first_row` is the row of the queue that the next step's first key replaces.
    """

    def __init__(
        self,
        query: nn.Module,
        *,
        queue: Tensor,
        momentum: float,
        temperature: float,
        bn_group: int,
        lr: float,
        sgd_momentum: float,
        weight_decay: float,
        running_stats: RunningStats = "first_group",
    ) -> None:
        self.query = copy.deepcopy(query)
        self.key = copy.deepcopy(query)  # Algorithm 1: f_k.params = f_q.params
        for parameter in self.key.parameters():
            parameter.requires_grad_(False)
        self.queue = queue.detach().clone()
        self.first_row = 0
        self.momentum = momentum
        self.temperature = temperature
        self.bn_group = bn_group
        self.lr = lr
        self.sgd_momentum = sgd_momentum
        self.weight_decay = weight_decay
        self.running_stats: RunningStats = running_stats
        self.buffers: dict[str, Tensor] = {}  # SGD's momentum buffers, by the parameter's name
        self.queries = torch.empty(0)
        self.keys = torch.empty(0)

    def step(self, x_query: Tensor, x_key: Tensor, permutation: Tensor | None = None) -> float:
        """One pass of Algorithm 1's loop over two views (N, 3, H, W) of a batch; its mean loss.

        With `permutation` (N,), Shuffling BN (v1 Sec. 3.3): position j of the batch that the key
        encoder sees holds image permutation[j]; the keys are put back before they are compared.
        """
        # q = f_q.forward(x_q)
        outputs = forward_in_groups(self.query, x_query, self.bn_group, self.running_stats)
        queries = torch.stack([l2_normalise(output) for output in outputs])
        # k = f_k.forward(x_k); k = k.detach()
        keys = self._encode_keys(x_key, permutation)
        # loss = CrossEntropyLoss(logits / t, labels): the mean over the batch
        losses = [
            info_nce(query, key, self.queue, self.temperature)
            for query, key in zip(queries, keys, strict=True)
        ]
        loss = torch.stack(losses).mean()
        # loss.backward(); update(f_q.params)
        self.query.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._sgd()
        # f_k.params = m * f_k.params + (1 - m) * f_q.params
        self._move_key_encoder()
        # enqueue(queue, k); dequeue(queue)
        self._enqueue(keys)
        self.queries, self.keys = queries.detach(), keys
        return float(loss.detach())

    @torch.no_grad()
    def _encode_keys(self, images: Tensor, permutation: Tensor | None) -> Tensor:
        count = images.shape[0]
        order = list(range(count)) if permutation is None else [int(i) for i in permutation]
        if sorted(order) != list(range(count)):
            raise ValueError("not a permutation of the batch")
        shuffled = torch.stack([images[image] for image in order])
        outputs = forward_in_groups(self.key, shuffled, self.bn_group, self.running_stats)
        keys = torch.empty_like(outputs)
        for position, image in enumerate(order):
            keys[image] = l2_normalise(outputs[position])
        return keys

    @torch.no_grad()
    def _sgd(self) -> None:
        """SGD over all parameters, batch norm's and biases included (code: one group).

        The form of torch.optim.SGD: the penalty joins the gradient, the gradient joins the buffer
        undamped, and the rate multiplies the buffer.
        """
        for name, parameter in self.query.named_parameters():
            if parameter.grad is None:
                continue
            gradient = parameter.grad + self.weight_decay * parameter
            if name in self.buffers:
                gradient = self.sgd_momentum * self.buffers[name] + gradient
            self.buffers[name] = gradient.clone()
            parameter.copy_(parameter - self.lr * gradient)

    @torch.no_grad()
    def _move_key_encoder(self) -> None:
        """v1 Eq. 2, over the parameters alone: running statistics are each encoder's own (code)."""
        of_query = dict(self.query.named_parameters())
        for name, parameter in self.key.named_parameters():
            moved = self.momentum * parameter + (1 - self.momentum) * of_query[name]
            parameter.copy_(moved)

    def _enqueue(self, keys: Tensor) -> None:
        """The batch's keys replace the oldest rows, in batch order (v1 Sec. 3.2: first in, out)."""
        size = self.queue.shape[0]
        if len(keys) > size:
            raise ValueError(f"a batch of {len(keys)} does not fit into a queue of {size}")
        for key in keys:
            self.queue[self.first_row] = key
            self.first_row = (self.first_row + 1) % size
