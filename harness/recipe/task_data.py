"""Rules about the data of a run and of its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.recipe.method import MethodSection
from harness.recipe.task import Data, TaskSection
from harness.spec.registry import tasks

FOLDERS = ("imagefolder", "pictures")
"""The kinds of data that are a folder of the user's."""


def folders(field: str, data: Data) -> Iterator[tuple[str, str]]:
    """(field, message) of each mistake about the folder of a data section, which is at `field`."""
    if (data.name in FOLDERS) != (data.folder is not None):
        yield (
            f"{field}.folder",
            f"data.name: {data.name} needs data.folder"
            if data.folder is None
            else f"only data.name: {' or '.join(FOLDERS)} takes a folder, not {data.name}",
        )
    if data.folder is not None and (
        data.folder.startswith(("/", "~")) or ".." in data.folder.split("/")
    ):
        yield f"{field}.folder", "it is relative to the data root: no leading '/' or '~', no '..'"
    if data.split is not None and data.name != "imagefolder":
        yield (
            f"{field}.split",
            f"{data.name} has no classes to split: leave it out"
            if data.name == "pictures"
            else f"{data.name} has a test set of its own: leave it out",
        )


def without_labels(
    data: Data,
    contrast: MethodSection,
    further: Mapping[str, TaskSection],
    own: Sequence[str],
) -> Iterator[tuple[str, str]]:
    """(field, message) of the method and of each task that needs labels, on images that have none.

    Args:
        data: the run's own.
        contrast: the run's method.
        further: the tasks under `tasks:`.
        own: the kinds of the recipe's other stages.
    """
    declared = tasks()
    if contrast.labels and not data.labelled:
        yield (
            "contrast.kind",
            f"{contrast.kind} learns from labels, and the {data.name} of {data.folder} have none: "
            "choose another method, or labelled data",
        )
    for kind in own:
        if declared[kind].labels and not data.labelled:
            section = declared[kind].section or kind
            yield (
                section,
                f"the {data.name} of {data.folder} have no labels: say {section}: null, or measure "
                f"it on a labelled set, as in tasks: {{watched: {{kind: {kind}, data: ...}}}}",
            )
    for name, said in further.items():
        its = said.data or data
        if declared[said.kind].labels and not its.labelled:
            yield (
                f"tasks.{name}.data",
                f"the {its.name} of {its.folder} have no labels, which {said.kind} needs: name a "
                "labelled set",
            )
        if said.data is not None:
            yield from folders(f"tasks.{name}.data", said.data)


def tested_elsewhere(path: str, data: Data) -> Iterator[tuple[str, str]]:
    """(field, message) of each setting of test images that cannot be; `path`: the section's."""
    if data.test is None:
        if data.test_view != "crop":
            yield f"{path}.test_view", f"only with {path}.test, which is not given: leave it out"
        return
    if data.name != "imagefolder":
        yield f"{path}.test", f"only data.name: imagefolder takes it, not {data.name}"
    if data.split is not None:
        yield f"{path}.test", f"{path}.split makes a test set already: leave one of the two out"
    if data.test.startswith("/") or ".." in data.test.split("/"):
        yield f"{path}.test", "it is relative to the data root: no leading '/' and no '..'"
