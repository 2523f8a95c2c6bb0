"""Features that the evaluations of a run root share: extracted once, then read from a file.

What can change a bit of them is part of the file's key, so a result is the same with and without
the file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.data.datasets import DataSet
from harness.data.images import Files, Images, Stack
from harness.data.packed import Packed
from harness.errors import StoreError
from harness.evaluate.features import Layer, extract
from harness.model.encoder import Encoder
from harness.recipe.identity import canonical
from harness.runtime.precision import Precision
from harness.runtime.world import World
from harness.spec.registry import task
from harness.stage.collective_wait import first_alone
from harness.stage.context import Context
from harness.store import features as store
from harness.store.edition import of_modules
from harness.store.operating_system import cpu

CODE = ("harness.evaluate.features", "harness.runtime.process_setup", "harness.stage.frozen")
"""The modules that, with their imports and that of the images' class, decide the bits of
features."""

SWITCHES = (
    *("ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"),
    *("NVIDIA_TF32_OVERRIDE", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"),
)
"""Environment variables by which libraries choose other kernels."""

AT_ONCE = 1 << 24
"""Bytes of pixels that are hashed at a time."""


@dataclass(frozen=True)
class Shared:
    """As `extract`, for the frozen encoder of an evaluation: what an earlier stage of the run root
    extracted is read instead."""

    context: Context
    extracting: Callable[..., Tensor] = extract

    def __call__(
        self,
        encoder: Encoder,
        data: DataSet,
        images: Images,
        *,
        size: int,
        layer: Layer,
        precision: Precision,
        world: World,
        pausing: Callable[[], object] = lambda: None,
    ) -> Tensor:
        """Features of all `images` in order, float32 (n, d), on every process; see `extract`.

        A file that cannot be read or written costs time only: the user gets a note.

        Raises:
            NotFinite, and what `pausing` raises: see `extract`.
            Interrupted: asked to stop while a large file was written.
        """

        def extracted() -> Tensor:
            return self.extracting(
                encoder,
                data,
                images,
                size=size,
                layer=layer,
                precision=precision,
                world=world,
                pausing=pausing,
            )

        shown = _identity(images)
        if world.any(shown is None):
            return extracted()
        about = {
            "weights": _digest(encoder, layer),
            "model": self.context.recipe.model.model_dump(mode="json", exclude={"weights"}),
            "images": shown,
            "count": len(images),
            "normalised": [list(data.mean), list(data.std)],
            "view": [images.view, size],
            "layer": layer,
            "precision": precision,
            "code": of_modules((*CODE, type(images).__module__), task("knn").libraries),
            "threads": torch.get_num_threads(),
            "machine": _machine(world.device),
        }
        own = torch.frombuffer(
            bytearray(hashlib.sha256(canonical(about).encode()).digest()), dtype=torch.uint8
        )
        # each process extracts a part, so all of them and their number decide
        key = bytes(world.gather(own.to(world.device)).tolist()).hex()
        found = self._read(key, len(images))
        if not world.any(found is None):
            assert found is not None
            return found.to(world.device)
        features = extracted()
        self._write(key, features, about)
        return features

    def _read(self, key: str, rows: int) -> Tensor | None:
        made: list[Tensor] = []

        def memory(n: int, width: int) -> memoryview:
            made.append(torch.empty(n, width))
            return _bytes(made[0])

        try:
            found = store.read(self.context.folder.path.parent, key, rows, memory)
        except StoreError as error:
            self._note(f"{error}; they are extracted again")
            return None
        return made[0] if found else None

    def _write(self, key: str, features: Tensor, about: dict[str, Any]) -> None:
        """The first process writes; the others wait for it, however long that takes."""
        context = self.context
        kept = features.cpu().contiguous() if context.world.rank == 0 else None

        def work() -> str:
            if kept is None:
                return ""
            runs, shape = context.folder.path.parent, (len(kept), kept.shape[1])
            try:
                store.write(runs, key, shape, _bytes(kept), about)
            except StoreError as error:
                return str(error)
            return ""

        if why := first_alone(work, context.world, context.stopping):
            self._note(f"features are not kept for other evaluations: {why}")

    def _note(self, text: str) -> None:
        self.context.reporter.note(f"{self.context.folder.id}: {text}")


def _bytes(tensor: Tensor) -> memoryview:
    """The tensor's memory, if it is contiguous, else that of a copy."""
    flat: Any = tensor.detach().contiguous().view(-1).numpy()
    return memoryview(flat).cast("B")


def _digest(encoder: Encoder, layer: Layer) -> str:
    """A digest of all tensors that are read for the layer."""
    total = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        if layer == "output" or name.startswith("backbone."):
            total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
            total.update(_bytes(tensor.cpu()))
    return total.hexdigest()


def _identity(images: Images) -> str | None:
    """A digest of the images' pixels or, for files, of what tells that they are unchanged; None:
    their kind is not known here."""
    if isinstance(images, Stack):
        total = hashlib.sha256(f"{tuple(images.stack.shape)}\0".encode())
        each = max(1, AT_ONCE // max(1, images.stack[:1].nbytes))
        for part in torch.split(images.stack, each):
            total.update(_bytes(part.cpu()))
        return total.hexdigest()
    if isinstance(images, Packed):
        total = hashlib.sha256(_bytes(images.rows))  # with the files' CRC-32
        total.update(os.fsencode("\0".join(images.names)))
        return total.hexdigest()
    if isinstance(images, Files):
        total = hashlib.sha256()
        try:
            for path in images.paths:
                about = path.stat()
                total.update(os.fsencode(path))
                total.update(
                    f"\0{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}\0".encode()
                )
        except OSError:
            return None  # it is reported where it is read
        return total.hexdigest()
    return None


def _machine(device: torch.device) -> dict[str, Any]:
    """What of this machine decides which kernels compute."""
    found: dict[str, Any] = {"switches": {k: os.environ[k] for k in SWITCHES if k in os.environ}}
    if device.type == "cuda":
        found |= {
            "device": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda or torch.version.hip,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    # images are decoded and resized on the CPU, unless they are in the GPU's memory
    return found | {"cpu": cpu(), "instructions": torch.backends.cpu.get_cpu_capability()}
