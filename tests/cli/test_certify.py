"""`certify` by processes of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Moco
from harness.store import certificate
from harness.store.edition import edition


@pytest.mark.slow
def test_certify_here(moco: Moco, place: Path) -> None:
    (place / "site.yaml").write_text("device: cpu\ndata: none\n")
    said = moco("certify", "--site", "site.yaml", "--yes")
    assert said.code == 0, said.all
    (found,) = certificate.of(place / "runs", edition("pretrain", "moco"))
    assert [c.outcome for c in found.checks] == ["passed"] * 3 + ["skipped"] * 2
    assert found.hardware["backend"] == "gloo"
    assert found.checks[2].figures["lives"] == 3


def test_it_asks(moco: Moco, place: Path) -> None:
    (place / "site.yaml").write_text("device: cpu\n")
    said = moco("certify", "--site", "site.yaml")
    assert said.code == 1
    assert "--yes" in said.err
    assert not (place / "runs").exists()
