from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store import benchmarks, certificate
from harness.store.certificate import Certificate, Check

ONE = Certificate(
    edition="aaaaaaaaaaaa",
    hardware={"device": "H100", "cpu": "x", "nodes": 2, "processes": 16, "backend": "nccl"},
    versions={"torch": "2.13"},
    checks=(Check("a", "passed", "as it should", {"apart": 1e-12}), Check("b", "skipped", "why")),
    when="2026-11-22T10:00:00Z",
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = certificate.write(tmp_path, ONE)
    assert path == tmp_path / "certificates" / f"aaaaaaaaaaaa-{ONE.digest}.json"
    assert certificate.of(tmp_path, "aaaaaaaaaaaa") == [ONE]
    assert certificate.of(tmp_path, "bbbbbbbbbbbb") == []


def test_none_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / certificate.FOLDER).symlink_to("far")
    with pytest.raises(StoreError, match=certificate.FOLDER):
        certificate.write(tmp_path, ONE)
    (tmp_path / benchmarks.FOLDER).symlink_to("far")
    with pytest.raises(StoreError, match=benchmarks.FOLDER):
        benchmarks.keep(tmp_path, "tiny", {})
    assert not list((tmp_path / "far").iterdir())


def test_one_for_each_hardware_the_newest_first(tmp_path: Path) -> None:
    other = replace(ONE, hardware={**ONE.hardware, "nodes": 4}, when="2026-11-23T10:00:00Z")
    again = replace(ONE, when="2026-11-24T10:00:00Z")
    for each in (ONE, other, again):
        certificate.write(tmp_path, each)
    assert certificate.of(tmp_path, ONE.edition) == [again, other]


def test_what_cannot_be_read_certifies_nothing(tmp_path: Path) -> None:
    path = certificate.write(tmp_path, ONE)
    for text in ("{", "[]", "{}", path.read_text().replace('"schema": 1', '"schema": 2')):
        path.write_text(text)
        assert certificate.of(tmp_path, ONE.edition) == []


def test_in_a_sentence() -> None:
    assert ONE.passed
    told = "passed 1 check, skipped: b; H100, 16 processes on 2 nodes, nccl, 2026-11-22T10:00:00Z"
    assert ONE.says == told
    failed = replace(ONE, checks=(*ONE.checks, Check("c", "failed", "")))
    assert not failed.passed
    assert "failed: c" in failed.says
    assert not replace(ONE, checks=(ONE.checks[1],)).passed
