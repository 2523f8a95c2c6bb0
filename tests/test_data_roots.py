"""Several data roots: the first that holds a set has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from report.build import recipe

from harness.data_check import check_data
from harness.data_roots import DataRoots, below, each, joined, parsed, read
from harness.errors import RecipeError
from harness.inputs import Inputs
from harness.recipe.schema import Data
from harness.site import load_site


def folders(tmp_path: Path, *names: str) -> list[Path]:
    found = [tmp_path / name for name in names]
    for path in found:
        path.mkdir()
    return found


def test_the_first_that_holds_it(tmp_path: Path) -> None:
    a, b = folders(tmp_path, "a", "b")
    roots = joined([a, b])
    (b / "set").mkdir()
    assert roots / "set" == b / "set"
    assert roots / "other" == a / "other"
    (a / "set").mkdir()
    assert roots / "set" == a / "set"


def test_the_name_of_a_path_below_the_roots(tmp_path: Path) -> None:
    a, b = folders(tmp_path, "a", "b")
    roots = joined([a, b])
    (b / "set").mkdir()
    assert below(b / "set", roots) == below(b / "set", b) == "set"
    assert below(tmp_path / "c", roots) is None
    (tmp_path / "link").symlink_to(b / "set")
    assert below(tmp_path / "link", roots) == "set"
    (a / "set").mkdir()
    assert below(b / "set", roots) is None  # the name means the first root's
    assert below(a / "set", roots) == "set"


def test_one_root_is_a_path(tmp_path: Path) -> None:
    assert joined([tmp_path, tmp_path]) == tmp_path
    assert read(str(tmp_path)) == tmp_path


def test_as_text_and_back(tmp_path: Path) -> None:
    roots = joined(folders(tmp_path, "a", "b"))
    assert read(str(roots)) == roots
    (odd,) = folders(tmp_path, "with:colon")
    assert parsed(str(odd)) == (odd,)


def test_from_the_site_file_the_environment_and_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("data: [/a, /b]\n")
    assert each(load_site(site=site).data) == (Path("/a"), Path("/b"))
    site.write_text("data: /a\n")
    assert load_site(site=site).data == Path("/a")
    monkeypatch.setenv("MOCO_HARNESS_DATA", f"/c{os.pathsep}/d")
    assert each(load_site(site=site).data) == (Path("/c"), Path("/d"))
    several = [Path("/e:/f"), Path("/g")]
    assert each(load_site(data=several, site=site).data) == (Path("/e"), Path("/f"), Path("/g"))


@pytest.mark.parametrize("said", ["[]", "[3]", '["a\\nb"]'])
def test_site_files_that_are_refused(tmp_path: Path, said: str) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(f"data: {said}\n")
    with pytest.raises(RecipeError, match="data"):
        load_site(site=site)


def test_a_colon_in_one_of_several(tmp_path: Path) -> None:
    (odd,) = folders(tmp_path, "with:colon")
    site = tmp_path / "site.yaml"
    site.write_text(f'data: ["{odd}", /b]\n')
    with pytest.raises(RecipeError, match="with:colon"):
        load_site(site=site)


def test_the_plan_names_where_it_is_and_where_else(tmp_path: Path) -> None:
    a, b = folders(tmp_path, "a", "b")
    roots = joined([a, b])
    made = recipe(data__name="cifar10", data__images=None)
    (found,) = check_data([made], roots)
    assert found.comes
    assert f"to {a}" in found.says
    (b / "cifar-10-batches-py").mkdir()
    (found,) = check_data([made], roots)
    assert found.there
    assert found.says.endswith(str(b))
    (a / "cifar-10-python.tar.gz").touch()
    (found,) = check_data([made], roots)
    assert found.says.startswith(f"data: cifar10 in {a} ")
    assert f"also in {b}" in found.says


def test_a_result_names_the_root_that_was_used(tmp_path: Path) -> None:
    a, b = folders(tmp_path, "a", "b")
    inside = b / "pets/train/cat"
    inside.mkdir(parents=True)
    (inside / "0.png").write_bytes(b"1")
    data = Data(name="imagefolder", folder="pets", size=16)
    found = Inputs(DataRoots((a, b)), tmp_path / "runs").data(data)
    assert found is not None
    assert found["path"] == str(b / "pets")
