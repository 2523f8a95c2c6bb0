"""What finished stages show, in a report: of which rows, beside what, and nothing but text and
pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from store.test_pictures import png

from harness.errors import StoreError
from harness.recipe.ablation import CONTROL
from harness.report.blocks import Block, Figure, Gallery, Notice, Paragraph, Section
from harness.report.look_sections import FOLDER, MOST, look_sections
from harness.report.publish import private_images, publish
from harness.report.write import write_report
from harness.store import look
from harness.store.look import Album, Confusion, Histogram, Look, Plane, Thumbnail
from report.build import OLDER, Bench
from report.conftest import Collected, Make

NASTY = "<img src=x onerror=alert(1)>|`\n](javascript:x)_$\\frac"


def album(name: str, shade: int, says: str = "a cat") -> Album:
    row = (Thumbnail(png(shade=shade), says, says), Thumbnail(png(shade=shade + 1), "another"))
    return Album(name, name.title(), f"How {name} were drawn.", ("image", "beside"), (("7", row),))


def of_training(says: str = "a cat") -> Look:
    shares = (("positives", (0.0, 1.0)), ("negatives", (0.75, 0.25)))
    edges = (-1.0, 0.0, 1.0)
    return Look(
        (album("views", 1, says), Histogram("similar", "Similar", "256.", "cosine", edges, shares))
    )


def of_knn(shade: int, says: str = "a cat") -> Look:
    points = tuple((float(n), float(n % 3), n % 2) for n in range(9))
    return Look(
        (
            album("neighbours", shade, says),
            Plane("plane", "Plane", "9.", ("x", "y"), (says, "dog"), points),
            Confusion("confusion", "Confusion", "9.", (says, "dog"), ((3, 1), (0, 4))),
        )
    )


def keep(bench: Bench, cell: str, seed: int, kind: str, made: Look) -> Path:
    folder = bench.folder(cell, seed, kind)
    look.keep(folder.path, made, folder.result or {})
    return folder.path


@pytest.fixture
def bench(make: Make) -> Bench:
    """Two seeds of two rows and of the control, all of which show something."""
    found = make((0, 1))
    for n, cell in enumerate((CONTROL, "m0.9", "m0.99")):
        for seed in found.seeds:
            found.finish(cell, seed, 40.0 + seed)
            if cell != CONTROL:
                keep(found, cell, seed, "pretrain", of_training())
            keep(found, cell, seed, "knn", of_knn(10 * n + 100 * seed + 5))
    return found


def of(section: Section, kind: type[Block]) -> list[Any]:
    return [block for block in section.blocks if isinstance(block, kind)]


def by_heading(bench: Bench, gather: Collected) -> dict[str, Section]:
    return {section.heading: section for section in look_sections(gather(bench))}


def test_a_section_for_each_shape_with_the_first_seed_of_each_row(
    bench: Bench, gather: Collected
) -> None:
    found = by_heading(bench, gather)
    assert list(found) == ["Views", "Similar", "Neighbours", "Plane", "Confusion"]
    galleries = of(found["Neighbours"], Gallery)
    assert [each.pictures[0].png for each in galleries] == [png(shade=n) for n in (15, 25, 5)]
    assert [each.caption.partition(",")[0] for each in galleries] == [
        "0.9",
        "0.99",
        "untrained network",
    ]
    assert len(of(found["Plane"], Figure)) == len(of(found["Confusion"], Figure)) == 3


def test_what_is_the_same_in_all_rows_is_shown_once(bench: Bench, gather: Collected) -> None:
    (gallery,) = of(by_heading(bench, gather)["Views"], Gallery)
    assert gallery.caption == ""
    keep(bench, "m0.99", 0, "pretrain", Look((album("views", 77),)))
    assert len(of(by_heading(bench, gather)["Views"], Gallery)) == 2


def test_few_rows_are_shown_and_the_others_are_named(make: Make, gather: Collected) -> None:
    found = make()
    for n, cell in enumerate(("m0", "m0.9", "m0.99", "m0.999", CONTROL)):
        found.finish(cell, 0, 40.0)
        keep(found, cell, 0, "knn", of_knn(10 * n))
    section = by_heading(found, gather)["Neighbours"]
    assert len(of(section, Gallery)) == MOST == 4
    assert "untrained network" in of(section, Paragraph)[0].text


def test_nothing_is_shown_of_other_code_or_of_another_result(
    bench: Bench, gather: Collected
) -> None:
    bench.finish("m0.9", 0, 40.0, edition=OLDER)
    result = bench.folder("m0.99", 0, "knn").path / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"attempt": 99}))
    galleries = of(by_heading(bench, gather)["Neighbours"], Gallery)
    assert [each.pictures[0].png for each in galleries] == [png(shade=n) for n in (115, 125, 5)]


def test_a_picture_that_the_stage_did_not_write_is_named(bench: Bench, gather: Collected) -> None:
    path = keep(bench, "m0.9", 0, "knn", of_knn(15))
    (path / look.FOLDER / "neighbours-1-1.png").write_bytes(png(shade=200))
    found = by_heading(bench, gather)
    (note,) = of(found["Pictures not shown"], Notice)
    assert "m0.9 (seed 0)" in note.text
    assert png(shade=115) in [each.pictures[0].png for each in of(found["Neighbours"], Gallery)]


def test_text_of_a_run_is_text_in_all_files(
    bench: Bench, gather: Collected, tmp_path: Path
) -> None:
    for kind, made in (("pretrain", of_training(NASTY)), ("knn", of_knn(5, NASTY))):
        keep(bench, "m0.9", 0, kind, made)
    written = write_report(gather(bench), tmp_path / "out")
    page = next(path for path in written if path.name == "report.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert set(re.findall(r'src="([^":]*:[^",]*),', page)) == {"data:image/png;base64"}
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)


def test_the_files_beside_the_markdown_are_those_that_it_names(
    bench: Bench, gather: Collected, tmp_path: Path
) -> None:
    written = write_report(gather(bench), tmp_path)
    named = re.findall(r"\]\((\S+\.(?:png|svg))\)", (tmp_path / "report.md").read_text())
    assert set(named) == {
        str(path.relative_to(tmp_path)) for path in written if path.suffix in (".png", ".svg")
    }
    assert len(named) == len(set(named))
    assert sum(name.startswith(f"{FOLDER}/") for name in named) == 2 + 3 * 2


def test_every_figure_has_its_numbers_in_words(bench: Bench, gather: Collected) -> None:
    figures = [f for s in look_sections(gather(bench)) for f in of(s, Figure)]
    said = {each.name: each.alt for each in figures}
    assert "positives 0.50; negatives -0.25" in said["similar-1"]
    assert "a cat for dog 1 times" in said["confusion-1"]
    assert "dog (4.00, 1.00)" in said["plane-1"]
    assert all(each.data for each in figures)


def test_the_page_lists_its_contents(bench: Bench, gather: Collected, tmp_path: Path) -> None:
    write_report(gather(bench), tmp_path)
    page = (tmp_path / "report.html").read_text()
    links = re.findall(r'<li><a href="#(part-[^"]+)">', page)
    assert links == re.findall(r'<h2 id="([^"]+)">', page)
    assert len(links) == len(set(links)) == page.count("<h2")
    assert "part-confusion" in links


@pytest.mark.parametrize("name", ["embedded", "imagefolder"])
@pytest.mark.parametrize("with_images", [False, True])
def test_images_that_may_be_private_are_published_on_request(
    make: Make, gather: Collected, tmp_path: Path, name: str, with_images: bool
) -> None:
    folder = {"folder": "photos", "images": None} if name == "imagefolder" else {}
    changes = {"data": {"name": name, "size": 32, **folder}}
    found = make(recipe_changes=changes)
    for cell in (CONTROL, "m0", "m0.9", "m0.99", "m0.999"):
        found.finish(cell, 0, 40.0)
        keep(found, cell, 0, "knn", of_knn(5))
    assert private_images(gather(found)) is (name == "imagefolder")
    root = publish(gather(found), tmp_path / "published", recipe="x", with_images=with_images)
    found.runs = root
    shown = by_heading(found, gather)
    assert ("Neighbours" in shown) is (with_images or name == "embedded")
    assert "Confusion" in shown
    pictures = list(root.rglob("*.png"))
    assert bool(pictures) is (with_images or name == "embedded")


def test_only_what_the_report_shows_is_published(
    bench: Bench, gather: Collected, tmp_path: Path
) -> None:
    before = by_heading(bench, gather)
    root = publish(gather(bench), tmp_path / "published", recipe="x")
    kept = {path.parent.name for path in root.rglob(look.FILE)}
    assert kept == {
        bench.folder(cell, 0, kind).id
        for cell in (CONTROL, "m0.9", "m0.99")
        for kind in ("pretrain", "knn")
        if (bench.folder(cell, 0, kind).path / look.FILE).exists()
    }
    bench.runs = root
    assert by_heading(bench, gather) == before


def test_a_damaged_look_is_not_replaced_by_another_seeds(
    bench: Bench, gather: Collected, tmp_path: Path
) -> None:
    root = publish(gather(bench), tmp_path / "published", recipe="x")
    before = sorted(root.rglob("*"))
    (bench.folder("m0.9", 0, "knn").path / look.FILE).write_text("{")
    with pytest.raises(StoreError, match=r"m0\.9"):
        publish(gather(bench), root, recipe="x")
    assert sorted(root.rglob("*")) == before
