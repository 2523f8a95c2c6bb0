from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from harness.errors import RecipeError
from harness.recipe import yaml_source
from harness.recipe.yaml_source import MAX_BYTES, parse, read

from .conftest import Write


@pytest.fixture(params=["C", "Python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both of PyYAML's parsers: where libyaml is absent the rules are the same."""
    if request.param == "Python":
        monkeypatch.setattr(yaml_source, "_LOADER", yaml.SafeLoader)
    elif not yaml.__with_libyaml__:
        pytest.skip("PyYAML is without libyaml")
    return str(request.param)


def value(text: str) -> object:
    return parse(f"x: {text}", "f.yaml").plain()["x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        (".5e3", 500.0),
        ("6.e2", 600.0),
        ("+1e+2", 100.0),
        ("-0.5", -0.5),
        ("0", 0),
        ("-7", -7),
        ("9223372036854775807", 2**63 - 1),
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", "Null"),
        ("2020-01-01", "2020-01-01"),
        ("2020-01-01 10:00:00", "2020-01-01 10:00:00"),
        ("1.2.3", "1.2.3"),
        ("1e", "1e"),
        ("inf", "inf"),
        ("'012'", "012"),
        ('"1:30"', "1:30"),
        ("'true'", "true"),
        ('""', ""),
        ("=", "="),
        ("a:b", "a:b"),
        ("[1, a, {b: 2}]", [1, "a", {"b": 2}]),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ("one\n  text", "one text"),
        ("τ ± ×", "τ ± ×"),
    ],
)
def test_scalars(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "text",
    [
        "012",
        "-012",
        "007.5",
        "0o17",
        "0x1F",
        "0b11",
        "1_000",
        "1_0.5",
        "1.0_1",
        "1:30",
        "1:30:07.5",
    ],
)
def test_numbers_that_yaml_versions_read_differently_are_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=rf"^f\.yaml:1: {text} means different things"):
        value(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3: a: given twice (first in line 1)"),
        ("a:\n  b: 1\n  'b': 1", "f.yaml:3: b: given twice (first in line 2)"),
        ("a: 1\nb: .nan", "f.yaml:2: .nan is not a finite number"),
        ("b: -.inf", "f.yaml:1: -.inf is not a finite number"),
        ("b: 1e999", "f.yaml:1: 1e999 is too large"),
        ("b: 9223372036854775808", "f.yaml:1: 9223372036854775808 is too large"),
        (f"b: {'9' * 9000}", "f.yaml:1: 99999"),
        ("a: &x 1\nb: *x", "f.yaml:1: anchors"),
        ("a: *x", "f.yaml:1: aliases"),
        ("? *x\n: 1", "f.yaml:1: aliases"),
        ("<<: {a: 1}", "f.yaml:1: <<: "),
        ("a: !!python/object/apply:os.system [ls]", "f.yaml:1: the tag tag:yaml.org,2002:python/"),
        ("a: !!str 5", "f.yaml:1: the tag tag:yaml.org,2002:str "),
        ("a: ! 5", "f.yaml:1: the tag ! "),
        ("a: !mine {b: 1}", "f.yaml:1: the tag !mine "),
        ("a: 1\n---\nb: 2", "f.yaml:2: a second document"),
        ("a: 1\n3: 2", "f.yaml:2: the field name 3 is not text: quote it"),
        ("true: 2", "f.yaml:1: the field name true is not text: quote it"),
        ("? \n: 2", "f.yaml:1: the field name null is not text: quote it"),
        ("? [a]\n: 2", "f.yaml:1: a field's name must be text"),
        ("? {a: 1}\n: 2", "f.yaml:1: a field's name must be text"),
        ("a:\n\tb: 1", "f.yaml:2: not valid YAML (found character"),
        ("a: b: c", "f.yaml:1: not valid YAML (mapping values are not allowed"),
        ("a: [1, 2\nb: 3", "f.yaml:2: not valid YAML ("),
        ("a: 'open", "f.yaml:1: not valid YAML ("),
        ("a: @b", "f.yaml:1: not valid YAML (found character"),
        ("a: 1\nb: \x07", "f.yaml:2: the character U+0007"),
        ('a: 1\nb: "\\a"', "f.yaml:2: the character U+0007"),
        ("[" * 40, "f.yaml:1: nested deeper than 32 levels"),
        ("[" * 500_000, "f.yaml:1: nested deeper than 32 levels"),
        ("{a: " * 40, "f.yaml:1: nested deeper than 32 levels"),
        ("- " * 40 + "a", "f.yaml:1: nested deeper than 32 levels"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(text, "f.yaml")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ['a: "\\ud800"', 'a: "\\U00110000"'])
def test_escapes_that_are_no_characters_are_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^f\.yaml:1: "):
        parse(text, "f.yaml")


def test_places() -> None:
    tree = parse("a: 1\nb:\n  c:\n    - x\n    - {d: 2,\n       e: 3}\n", "f.yaml")
    assert {keys: place.line for keys, place in tree.places().items()} == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "c", 0): 4,
        ("b", "c", 1): 5,
        ("b", "c", 1, "d"): 5,
        ("b", "c", 1, "e"): 6,
    }


def test_a_file_with_a_byte_order_mark(write: Write) -> None:
    assert read(write("f.yaml", "\ufeffa: 1\r\nb: 2\r\n")).plain() == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml:1: the file is empty"),
        ("# only a comment\n", "f.yaml:1: the file is empty"),
        ("- a", "f.yaml:1: the file is not a mapping"),
        ("text", "f.yaml:1: the file is not a mapping"),
        ("a: " + "x" * MAX_BYTES, "f.yaml: larger than 1 MB"),
    ],
)
def test_files_that_are_no_recipe(write: Write, text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read(write("f.yaml", text))
    assert str(caught.value).startswith(message)


def test_not_utf8(write: Write) -> None:
    path = write("f.yaml", "")
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(RecipeError, match=r"^f\.yaml:2: not UTF-8"):
        read(path)


def test_files_that_cannot_be_read(write: Write) -> None:
    write("recipes/quickstart.yaml", "a: 1")
    os.mkfifo("pipe.yaml")
    Path("loop.yaml").symlink_to("loop.yaml")
    for name, message in [
        ("recipes", "recipes: a folder"),
        (
            "recipes/quickstrat.yaml",
            "recipes/quickstrat.yaml: no such file, did you mean recipes/quickstart.yaml?",
        ),
        (
            "recipes/quickstart",
            "recipes/quickstart: no such file, did you mean recipes/quickstart.yaml?",
        ),
        ("recipes/zzz.yaml", "recipes/zzz.yaml: no such file; existing ones: quickstart.yaml"),
        ("recipes/a", "recipes/a: no such file; existing ones: quickstart.yaml"),
        ("recipe/quickstart.yaml", "recipe/quickstart.yaml: no folder recipe"),
        ("pipe.yaml", "pipe.yaml: not a regular file"),
        ("loop.yaml", "loop.yaml: symbolic links"),
        ("nul\0.yaml", r"nul\x00.yaml: "),
        ("x" * 300, "x" * 300 + ": cannot be read"),
    ]:
        with pytest.raises(RecipeError) as caught:
            read(Path(name))
        assert str(caught.value).startswith(message)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(write: Write) -> None:
    path = write("f.yaml", "a: 1")
    path.chmod(0)
    with pytest.raises(RecipeError, match=r"^f\.yaml: cannot be read: Permission denied"):
        read(path)


def test_paths_outside_the_working_directory_are_shown_as_given(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("f.yaml", "a: [")
    (tmp_path / "inside").mkdir()
    with pytest.raises(RecipeError, match=r"^f\.yaml:1: "):
        read(tmp_path / "f.yaml")
    monkeypatch.chdir(tmp_path / "inside")
    with pytest.raises(RecipeError, match=r"^\.\./f\.yaml:1: "):
        read(Path("../f.yaml"))
