"""Rules of `data.test`: another folder's images to test on."""

from __future__ import annotations

from collections.abc import Iterator

from harness.recipe.task import Data


def contradictions(path: str, data: Data) -> Iterator[tuple[str, str]]:
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
