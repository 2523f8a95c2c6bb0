"""Short trainings as they were to the last bit: what reshapes the code changes none of them.

The last bits also depend on the processor's vector width and the libraries, so that they are held
only where both are those that the golden was made on; elsewhere its losses are held as closely as
rounding, which grows from step to step, allows. `--force-regen` writes the golden anew.
"""

from __future__ import annotations

import hashlib
import itertools
import lzma
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from gloo import Pool
from stage.tiny import TEXT, final_state, run
from stage.trajectory import recipe

from harness.certify.tiny import MECHANISMS
from harness.certify.trajectory import train
from harness.runtime import checkpoint
from harness.runtime.world import World
from harness.store import journal

HERE = Path(__file__).with_suffix("")
GOLDEN = HERE / "curves.yml"
STEPS, FIRST, RELATIVE, GROWN = 20, 4, 1e-4, 0.03

BEGUN = TEXT.replace("images: 80, size: 16", "images: 48, size: 8").replace("dim: 16", "dim: 8")
AT, LAST = 5, 9
"""The step after which its checkpoint was written, and its last."""


@pytest.fixture
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def machine() -> str:
    """What decides the last bits."""
    found = [
        line for line in _cpuinfo() if line.startswith(("model name", "cpu family", "model\t"))
    ]
    facts = [line.partition(":")[2].strip() for line in found[:3]]
    return f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()} {' '.join(facts)}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else [f"model name: {platform.machine()}"]


def digest(state: Any) -> str:
    """Of all tensors and numbers in a state, whatever their order."""
    total = hashlib.sha256()

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key in sorted(value, key=str):
                add(f"{name}.{key}", value[key])
        elif isinstance(value, list | tuple):
            add(name, dict(enumerate(value)))
        elif isinstance(value, torch.Tensor):
            total.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        elif isinstance(value, float):
            total.update(f"{name}{value.hex()}".encode())
        else:
            total.update(f"{name}{value!r}".encode())

    add("", state)
    return total.hexdigest()[:16]


def trained(world: World, contrast: str) -> dict[str, Any]:
    """The losses of twenty steps, and the digest of all that they have changed."""
    found = train(world, recipe(contrast, group=4, steps=STEPS), torch.float32)
    return {"losses": [float(loss) for loss in found["losses"]], "digest": digest(found)}


def held(found: dict[str, Any], name: str, config: pytest.Config) -> None:
    """Compare with the golden of that name, or write it."""
    golden = yaml.safe_load(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if config.getoption("force_regen"):
        golden |= {name: {"machine": machine(), **found}}
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(yaml.safe_dump(golden, default_flow_style=None, width=100))
        pytest.fail(f"{GOLDEN.name} was written anew")
    expected = golden[name]
    assert found["losses"][:FIRST] == pytest.approx(expected["losses"][:FIRST], rel=RELATIVE)
    assert found["losses"] == pytest.approx(expected["losses"], rel=GROWN)
    if expected["machine"] == machine():
        assert found["losses"] == expected["losses"]
        assert found["digest"] == expected["digest"]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("contrast", MECHANISMS)
def test_twenty_steps(
    gloo: Pool, contrast: str, processes: int, pytestconfig: pytest.Config
) -> None:
    found = gloo.run(trained, processes, contrast, timeout=120)
    assert len(found[0]["losses"]) == STEPS
    assert all(each["losses"] == found[0]["losses"] for each in found)
    held(found[0], f"{contrast}, {processes}", pytestconfig)


@pytest.mark.usefixtures("_one_thread")
def test_a_checkpoint_of_old_is_gone_on_from(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    recipe, runs, kinds = tmp_path / "tiny.yaml", tmp_path / "runs", ("pretrain",)
    recipe.write_text(BEGUN)
    folder = run(recipe, runs, kinds=())["pretrain"].checkpoints
    if pytestconfig.getoption("force_regen"):
        keep_a_checkpoint(recipe, tmp_path / "begun")
    (kept,) = HERE.glob("step-*.pt.xz")
    folder.mkdir(parents=True)
    (folder / kept.stem).write_bytes(lzma.decompress(kept.read_bytes()))
    stage = run(recipe, runs, kinds=kinds)["pretrain"]
    losses = journal.series(journal.read(stage), "train/loss")
    assert [step for step, _, _ in losses] == list(range(AT + 1, LAST + 1))
    state = {k: v for k, v in final_state(stage).items() if k not in ("stage", "data")}
    found = {"losses": [loss for _, _, loss in losses], "digest": digest(state)}
    held(found, "resumed", pytestconfig)


def keep_a_checkpoint(recipe: Path, runs: Path) -> None:
    """Stop after step AT and keep what was written, in a tenth of its size: of its numbers' digits
    the first three binary ones."""
    asked = itertools.count(1)
    stage = run(recipe, runs, kinds=("pretrain",), stopping=lambda: next(asked) >= AT)["pretrain"]
    ((step, state),) = itertools.islice(checkpoint.whole(stage.checkpoints, print), 1)
    assert step == AT
    coarse = checkpoint.save(runs, step, rounded(state), 1)
    for old in HERE.glob("step-*"):
        old.unlink()
    HERE.mkdir(exist_ok=True)
    (HERE / f"{coarse.name}.xz").write_bytes(lzma.compress(coarse.read_bytes(), preset=9))


def rounded(state: Any) -> Any:
    """All float32 tensors of a state with a mantissa of three bits."""
    if isinstance(state, dict):
        return {name: rounded(value) for name, value in state.items()}
    if isinstance(state, torch.Tensor) and state.dtype == torch.float32:
        bits = state.contiguous().view(torch.int32)
        return (bits & -(1 << 20)).view(torch.float32)
    return state
