"""A journal read for its curves: bounded work, whatever its length."""

from __future__ import annotations

import pytest

from harness.report.curves import FEWEST, LINES, MOST, _sample, read_curves, share
from harness.report.read_run import read_run
from harness.store.ledger import read_entry
from report.conftest import Make


def test_runs_share_the_lines() -> None:
    assert share(1) == MOST
    assert share(500) == LINES // 500
    assert share(10**6) == FEWEST


def test_of_a_long_journal_every_nth_line_is_read_and_all_that_was_monitored() -> None:
    train = [b'{"step":%d,"train/loss":1}' % n for n in range(1000)]
    knn, rank = b'{"step":501,"knn/top1":40}', b'{"step":501,"health/rankme":9}'
    lines = [*train[:501], knn, rank, *train[501:], b""]
    found = _sample(lines, 100)
    assert 90 <= len(found) <= 103
    assert knn in found
    assert rank in found
    assert found[0] == train[0]
    assert found[-1] == b""
    assert _sample(lines, 1003) == lines


def test_the_curves_of_a_run(make: Make) -> None:
    bench = make()
    protocol = bench.protocol("m0.9", 0)
    records: list[dict[str, object]] = [
        {"step": n, "epoch": n / 100, "train/loss": 6.0, "pretext/top1": 50.0}
        for n in range(1, 1001)
    ]
    records.append({"step": 1000, "epoch": 10.0, "knn/top1": 40.0, "protocol": protocol})
    bench.pretrain("m0.9", 0, records=records)
    recipe = bench.recipe("m0.9", 0)
    found = read_curves(read_entry(bench.folder("m0.9", 0)), recipe)
    assert (len(found.loss), len(found.pretext), found.knn) == (200, 200, ((10.0, 40.0),))
    assert {value for _, value in found.pretext} == {50.0}
    assert not found.warnings
    nothing = read_curves(read_entry(bench.folder("m0.9", 0)), recipe, lines=0)
    assert (nothing.loss, nothing.warnings) == ((), ())


@pytest.mark.parametrize("state", ["finished", None])
def test_an_impossible_value_is_not_drawn(make: Make, state: str | None) -> None:
    """Of a run that has ended nothing is: which of its values are true, nobody knows."""
    bench = make()
    protocol = bench.protocol("m0.9", 0)
    records: list[dict[str, object]] = [
        {"step": n, "epoch": n / 10, "train/loss": 6.0, "knn/top1": value, "protocol": protocol}
        for n, value in ((10, 30.0), (20, 170.0), (30, -1.0), (40, 41.0))
    ]
    bench.pretrain("m0.9", 0, records=records, state=state)
    found = read_curves(read_entry(bench.folder("m0.9", 0)), bench.recipe("m0.9", 0))
    assert found.knn == (() if state else ((1.0, 30.0), (4.0, 41.0)))
    assert len(found.loss) == (0 if state else 4)


def test_a_newer_attempt_wins_from_its_first_step(make: Make) -> None:
    bench = make()
    old = [{"step": n, "epoch": n / 31, "train/loss": 9.0} for n in range(1, 61)]
    bench.pretrain("m0.9", 0, records=old, state=None)  # the first attempt, cut at step 60
    new = [{"step": n, "epoch": n / 31, "train/loss": 1.0} for n in range(32, 100)]
    bench.pretrain("m0.9", 0, records=new, attempt=2)
    found = read_curves(read_entry(bench.folder("m0.9", 0)), bench.recipe("m0.9", 0))
    assert [value for _, value in found.loss] == [9.0] * 31 + [1.0] * 68


@pytest.mark.parametrize(("cut", "told"), [(False, 0), (True, 1)])
def test_a_last_line_without_its_end_is_whole_if_it_can_be_read(
    make: Make, cut: bool, told: int
) -> None:
    bench = make()
    old = [{"step": n, "epoch": n / 31, "train/loss": 9.0} for n in range(1, 61)]
    bench.pretrain("m0.9", 0, records=old, state=None)
    new = [{"step": n, "epoch": n / 31, "train/loss": 1.0} for n in range(32, 100)]
    bench.pretrain("m0.9", 0, records=new, attempt=2)
    journal = bench.folder("m0.9", 0).attempts()[0] / "metrics.jsonl"
    lines = journal.read_text().splitlines()
    lines[9] = lines[9][:-5] if cut else lines[9]
    journal.write_text("\n".join(lines))
    found = read_curves(read_entry(bench.folder("m0.9", 0)), bench.recipe("m0.9", 0))
    assert len([each for each in found.warnings if "cut" in each]) == told


def test_health_is_drawn_and_its_alarm_told(make: Make) -> None:
    bench = make()
    records: list[dict[str, object]] = []
    for n, since in ((10, 0.0), (20, 2.0)):
        records.append({"step": n, "epoch": n / 10, "train/loss": 6.0})
        values = {"health/rankme": 1.0 + n, "health/gradient_norm": 1.0, "health/collapsed": since}
        records.append({"step": n, "epoch": n / 10, **values})
    bench.pretrain("m0.9", 0, records=records)
    recipe = bench.recipe("m0.9", 0)
    found = read_curves(read_entry(bench.folder("m0.9", 0)), recipe)
    assert dict(found.further) == {"health/rankme": ((1.0, 11.0), (2.0, 21.0))}
    assert not read_run("m0.9", 0, recipe, bench.runs).warnings
    values = {"train/loss": 6.0, "health/collapsed": 2.0}
    bench.stage("m0.9", 0, "pretrain", values, records=records)
    (warning,) = read_run("m0.9", 0, recipe, bench.runs).warnings
    assert "collapsed since epoch 2" in warning
