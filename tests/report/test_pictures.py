"""Pictures in a report: which are shown, beside what, and that a file of a run can add nothing."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.errors import StoreError
from harness.recipe.ablation import CONTROL
from harness.recipe.identity import described, record, stage_id
from harness.report.blocks import Folded, Gallery, Notice, Section
from harness.report.collect import Results, collect
from harness.report.document import compose
from harness.report.pictures import picture_sections, tables_of_each
from harness.report.publish import private_images, publish
from harness.report.table_text import text
from harness.report.tables import sensitivity_table
from harness.report.write import write_report
from harness.store.layout import StageFolder, stage_folder
from harness.store.pictures import FOLDER, KEY, Panel, Pictures, keep
from report.build import EDITION, OLDER, Bench
from report.conftest import Collected, Make

TASK = {
    "kind": "segmentation",
    "masks": {"name": "scenes"},
    "steps": 9,
    "lr": 0.1,
    "crop": 24,
    "schedule": {"kind": "constant"},
    "trials": 2,
}
CHANGES = {"tasks": {"seg": TASK}, "linear": None}
NASTY = "<img src=x onerror=alert(1)>|`\n](javascript:x)"


def panel(shade: int, says: str = "disc 9 %") -> Panel:
    file = io.BytesIO()
    Image.new("L", (4, 4), shade).save(file, "PNG")
    return Panel(file.getvalue(), says)


def made(predicted: int, truth: int = 1, says: str = "disc 9 %") -> Pictures:
    samples = {
        n: {"image": panel(n), "true": panel(truth), "predicted": panel(predicted + n, says)}
        for n in (5, 8)
    }
    return Pictures(samples, (("background", "#282828"), ("disc", "#0072b2")))


def segment(
    bench: Bench,
    cell: str,
    seed: int,
    miou: float,
    pictures: Pictures | None = None,
    trial: int = 0,
    each: Mapping[str, float] | None = None,
    **changes: Any,
) -> StageFolder:
    """A finished trial of the task, behind a run that is there."""
    pretrain, recipe = bench.folder(cell, seed), bench.recipe(cell, seed)
    name = f"seg=t{trial}" if trial else "seg"
    folder = stage_folder(bench.runs, stage_id(recipe, name))
    said = {"schema": 1, "id": folder.id, "name": recipe.name, "seed": seed}
    folder.create(
        {**said, **record(recipe, name), "parent": pretrain.id}
        | {"recipe": described(recipe, name)}
    )
    (folder.path / "attempts" / "0001").mkdir(exist_ok=True)
    (folder.path / "attempts" / "0001" / "attempt.json").write_text("{}")
    result = json.loads((pretrain.path / "result.json").read_text()) | changes
    result["values"] = {"segmentation/miou": miou} | {
        f"segmentation/iou@{name}": value for name, value in (each or {}).items()
    }
    if pictures is not None:
        result[KEY] = keep(folder.path, pictures)
    (folder.path / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def bench(make: Make) -> Bench:
    """An untrained network and two others, of two seeds and two trials, all with pictures."""
    found = make((0, 1), recipe_changes=CHANGES)
    for n, cell in enumerate((CONTROL, "m0.9", "m0.99")):
        for seed in found.seeds:
            found.finish(cell, seed, 40.0 + seed)
            segment(found, cell, seed, 20.0 + n, made(10 * n + 100 * seed), each={"disc": 10.0 * n})
            segment(found, cell, seed, 22.0 + n, trial=1, each={"disc": 10.0 * n + 2, "ring": 5.0})
    return found


def gallery(results: Results) -> Gallery:
    (section,) = picture_sections(results)
    assert section.heading == "Predicted masks"
    (found,) = (block for block in section.blocks if isinstance(block, Gallery))
    return found


def notices(section: Section) -> list[str]:
    return [block.text for block in section.blocks if isinstance(block, Notice)]


def test_a_column_for_each_start_and_the_truth_before_them(bench: Bench, gather: Collected) -> None:
    found = gallery(gather(bench))
    heads = [each.text for each in found.columns]
    assert heads == ["image", "ground truth", "0.9", "0.99", "untrained network"]
    assert [name for name, _ in found.rows] == ["5", "8"]
    for number, (_, row) in zip((5, 8), found.rows, strict=True):
        shown = [each.png for each in row if each is not None]
        wanted = [panel(n).png for n in (number, 1, 10 + number, 20 + number, number)]
        assert shown == wanted
    assert found.legend == made(0).legend
    names = [each.name for each in found.pictures]
    assert len(set(names)) == len(names) == 10
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


def test_a_seed_without_a_result_is_passed_over(bench: Bench, gather: Collected) -> None:
    segment(bench, "m0.9", 0, 20.0, made(10), edition=OLDER)
    folder = stage_folder(bench.runs, stage_id(bench.recipe("m0.99", 0), "seg"))
    (folder.path / "result.json").unlink()
    _, row = gallery(gather(bench)).rows[0]
    shown = [each.png for each in row if each is not None]
    assert shown[2:] == [panel(n + 5).png for n in (110, 120, 0)]


def test_another_truth_is_not_put_beside(bench: Bench, gather: Collected) -> None:
    segment(bench, "m0.99", 0, 20.0, made(20, truth=2))
    (section,) = picture_sections(gather(bench))
    _, row = gallery(gather(bench)).rows[0]
    assert [each is None for each in row] == [False, False, False, True, False]
    (said,) = notices(section)
    assert "m0.99 (seed 0)" in said


@pytest.mark.parametrize("content", [b"<script>alert(1)</script>", panel(77).png])
def test_a_file_that_the_stage_did_not_write_is_left_out_with_a_note(
    bench: Bench, gather: Collected, content: bytes, tmp_path: Path
) -> None:
    folder = stage_folder(bench.runs, stage_id(bench.recipe("m0.9", 0), "seg"))
    (folder.path / FOLDER / "8-predicted.png").write_bytes(content)
    (section,) = picture_sections(gather(bench))
    (said,) = notices(section)
    assert "m0.9 (seed 0)" in said
    assert "8-predicted.png" in said
    assert str(tmp_path) not in said
    _, row = gallery(gather(bench)).rows[0]
    assert row[2] is not None
    assert row[2].png == panel(115).png  # of the next seed
    write_report(gather(bench), tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert content not in path.read_bytes()
        assert base64.b64encode(content) not in path.read_bytes()


def test_a_page_embeds_them_and_a_text_has_them_as_files(
    bench: Bench, gather: Collected, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    written = write_report(gather(bench), out)
    page, words = (out / "report.html").read_text(), (out / "report.md").read_text()
    embedded = re.findall(r'<img src="data:image/png;base64,([^"]*)" alt="([^"]+)">', page)
    pngs = {path.name: path.read_bytes() for path in out.glob("*.png")}
    assert len(embedded) == len(pngs) == 10
    assert sorted(base64.b64decode(data) for data, _ in embedded) == sorted(pngs.values())
    assert not re.search(r'src="(?!data:)', page)
    named = re.findall(r"!\[[^\]]+\]\(([^)]*\.png)\)", words)
    assert sorted(named) == sorted(pngs)
    (legend,) = re.findall(r"\(([^)]*legend\.svg)\)", words)
    assert "#0072b2" in (out / legend).read_text()
    assert "background:#0072b2" in page
    assert {out / name for name in (*pngs, legend)} <= set(written)


def test_words_of_a_run_add_no_markup(bench: Bench, gather: Collected, tmp_path: Path) -> None:
    for cell in (CONTROL, "m0.9"):
        hostile = made(1, says=NASTY)
        segment(bench, cell, 0, 20.0, Pictures(hostile.samples, ((NASTY, "#0072b2"),)),
                each={NASTY: 3.0})  # fmt: skip
    write_report(gather(bench), tmp_path / "out")
    files = {path.suffix: path.read_text() for path in sorted((tmp_path / "out").glob("*.[hms]*"))}
    assert set(files) == {".html", ".md", ".svg"}
    for content in files.values():
        assert "<img src=x" not in content
    assert not re.search(r"(?<!\\)\]\(javascript", files[".md"])
    rows = [line for line in files[".md"].splitlines() if ".png)" in line]
    assert all(line.count("|") - line.count(r"\|") == 7 for line in rows)


def test_published_pictures_come_with_their_digests(
    bench: Bench, gather: Collected, tmp_path: Path
) -> None:
    root = publish(gather(bench), tmp_path / "t" / "runs", recipe="tiny.yaml")
    copied = sorted(path.read_bytes() for path in root.glob(f"*/{FOLDER}/*.png"))
    own = sorted(path.read_bytes() for path in bench.runs.glob(f"*/{FOLDER}/*.png"))
    assert copied == own
    assert len(own) == 36
    write_report(gather(bench), tmp_path / "one")
    write_report(collect(bench.expansion, bench.scale, root), tmp_path / "other")
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("pictures-*")}
        for name in ("one", "other")
    )
    assert one == other
    folder = stage_folder(bench.runs, stage_id(bench.recipe("m0.9", 1), "seg"))
    (folder.path / FOLDER / "8-true.png").unlink()
    with pytest.raises(StoreError, match=r"8-true\.png"):
        publish(gather(bench), tmp_path / "t" / "runs", recipe="tiny.yaml")


@pytest.mark.parametrize("with_images", [False, True])
def test_test_images_that_may_be_private_are_published_on_request(
    make: Make, gather: Collected, tmp_path: Path, with_images: bool
) -> None:
    voc = {**TASK, "masks": {"name": "voc2012"}, "trials": 1}
    bench = make((0,), recipe_changes={"tasks": {"seg": voc}, "linear": None})
    bench.finish("m0.9", 0, 40.0)
    segment(bench, "m0.9", 0, 20.0, made(10))
    assert private_images(gather(bench))
    root = publish(gather(bench), tmp_path / "published", recipe="x", with_images=with_images)
    assert bool(list(root.rglob("*.png"))) is with_images
    bench.runs = root
    found = gather(bench)
    assert bool(list(picture_sections(found))) is with_images


def test_without_pictures_there_is_no_section(make: Make, gather: Collected) -> None:
    bench = make((0,), recipe_changes=CHANGES)
    bench.finish("m0.9", 0, 40.0)
    segment(bench, "m0.9", 0, 20.0)
    segment(bench, "m0.9", 0, 20.0, trial=1)
    results = gather(bench)
    assert not list(picture_sections(results))
    assert not tables_of_each(results)


def test_scores_of_each_class_are_folded_beneath(
    bench: Bench, gather: Collected, tmp_path: Path
) -> None:
    results = gather(bench)
    (folded,) = tables_of_each(results)
    assert "seg" in folded.title
    cells = {row.key: [text(each).text for each in row.cells[1:]] for row in folded.table.rows}
    assert cells["disc"] == ["11.00 ± 0.00", "21.00 ± 0.00", "1.00 ± 0.00"]
    assert cells["ring"][0].startswith("5.00")
    assert [each.label for each in folded.table.columns[1:]] == ["0.9", "0.99", "untrained network"]
    sections = {section.heading: section for section in compose(results, []).sections}
    holding = [
        heading
        for heading, section in sections.items()
        if any(isinstance(block, Folded) for block in section.blocks)
    ]
    assert holding == ["Table"]
    sensitivity = sensitivity_table(results)
    assert sensitivity is not None
    assert not any("iou" in column.label for column in sensitivity.columns)
    write_report(results, tmp_path)
    for name in ("report.html", "report.md"):
        assert (tmp_path / name).read_text().count("<details>") == 1


def test_stages_of_another_edition_have_no_score_there(bench: Bench, gather: Collected) -> None:
    segment(bench, "m0.9", 0, 20.0, made(10), each={"disc": 90.0}, edition=OLDER)
    (folded,) = tables_of_each(gather(bench))
    cells = {row.key: text(row.cells[1]).text for row in folded.table.rows}
    assert cells["disc"] == "11.00"
    assert EDITION != OLDER
