"""Scenes as VOC 2007: their figures have the names of VOC's classes."""

from __future__ import annotations

from pathlib import Path

from harness.data.embedded import CLASSES as FIGURES
from harness.data.scene_files import write_voc
from harness.data.voc_boxes import CLASSES


def voc2007(root: Path, train: int, test: int, size: int = 32) -> Path:
    """Write it below `root`; returns its folder. Figures of even images have the names of VOC's
    first ten classes, those of odd images of the others."""
    for split, n in (("train", train), ("test", test)):
        write_voc(root / "VOCdevkit", split, n, size)  # type: ignore[arg-type]
    folder = root / "VOCdevkit" / "VOC2007"
    for path in (folder / "Annotations").iterdir():
        text = path.read_text()
        for n, figure in enumerate(FIGURES):
            name = CLASSES[n + len(FIGURES) * (int(path.stem) % 2)]
            text = text.replace(f"<name>{figure}</name>", f"<name>{name}</name>")
        path.write_text(text)
    return folder


def annotation(folder: Path, name: str, *objects: tuple[str, int]) -> None:
    """Replace an image's annotation by one of (class, difficult)."""
    sides = "<width>32</width><height>32</height>"
    corners = zip(("xmin", "ymin", "xmax", "ymax"), (3, 4, 20, 21), strict=True)
    box = f"<bndbox>{''.join(f'<{side}>{at}</{side}>' for side, at in corners)}</bndbox>"
    inner = "".join(
        f"<object><name>{of}</name><difficult>{difficult}</difficult>{box}</object>"
        for of, difficult in objects
    )
    (folder / "Annotations" / f"{name}.xml").write_text(
        f"<annotation><size>{sides}</size>{inner}</annotation>"
    )
