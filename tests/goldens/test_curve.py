"""A short training's losses, as they were: whatever changes them makes another experiment.

Float64, because in float32 the last bit, which depends on the CPU's vector width and on torch's
version, grows over thirty steps. What stays float32 are the pixels, as augmentation makes them: the
second test shows that their last bits move the curve by far less than the tolerance.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from stage.trajectory import CONTRASTS, in_float64

from harness.data.loader import Loader
from harness.runtime.world import World

GOLDEN = Path(__file__).with_suffix("") / "losses.yml"
FIRST, RELATIVE, GROWN = 12, 1e-4, 0.03
"""Of the first steps, and of all: end-to-end, most of all with one encoder for both views, makes
0.8 % in thirty steps of the pixels' last bits in another version of torch (2.14 after 2.15). The
flaws of `tests/mutants` move the curve by 0.1 and more, but for the jitter of hue: the embedded
images are grey."""


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def losses(contrast: str) -> list[float]:
    world = World.alone(torch.device("cpu"))
    found = in_float64(world, contrast, 4, "first_group", 30)["losses"]
    return [float(loss) for loss in found]


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_the_losses_are_what_they_were(contrast: str, pytestconfig: pytest.Config) -> None:
    found = losses(contrast)
    assert len(found) == 30
    golden = yaml.safe_load(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if pytestconfig.getoption("force_regen"):
        golden[contrast] = [float(f"{loss:.9g}") for loss in found]
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(yaml.safe_dump(golden, default_flow_style=None, width=100))
        pytest.fail(f"{GOLDEN.name} was written anew")
    assert found[:FIRST] == pytest.approx(golden[contrast][:FIRST], rel=RELATIVE)
    assert found == pytest.approx(golden[contrast], rel=GROWN)


def test_the_pixels_last_bits_are_far_below_the_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = losses("moco")
    batches = Loader.batches
    draw = torch.Generator().manual_seed(0)

    def noisy(self: Loader, first: int, last: int) -> object:
        for batch in batches(self, first, last):
            for view in batch.views:
                view.mul_(1 + 2e-7 * (2 * torch.rand(view.shape, generator=draw) - 1))
            yield batch

    monkeypatch.setattr(Loader, "batches", noisy)
    other = losses("moco")
    assert other != plain
    assert other == pytest.approx(plain, rel=RELATIVE / 10)
