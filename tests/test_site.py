from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.launch.slurm.site import SlurmSite
from harness.site import Site, load_site


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's site file, where it is looked for."""
    path = tmp_path / "config" / "moco-harness" / "site.yaml"
    path.parent.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path.write_text(
        "data: /file/data\nruns: /file/runs\ndevice: cuda:1\nprocesses: 2\nask_above_hours: 3\n"
    )
    return path


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    data = Path("/home/somebody/.cache/moco-harness/data")
    assert load_site() == Site(data, Path("runs"), "auto", 1, 12.0)


@pytest.mark.usefixtures("file")
def test_option_before_environment_before_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_site() == Site(Path("/file/data"), Path("/file/runs"), "cuda:1", 2, 3.0)
    monkeypatch.setenv("MOCO_HARNESS_DATA", "/env/data")
    monkeypatch.setenv("MOCO_HARNESS_RUNS", "/env/runs")
    monkeypatch.setenv("MOCO_HARNESS_DEVICE", "cpu")
    assert load_site() == Site(Path("/env/data"), Path("/env/runs"), "cpu", 2, 3.0)
    said = load_site(data=Path("/a"), runs=Path("/b"), device="cuda", processes=4)
    assert said == Site(Path("/a"), Path("/b"), "cuda", 4, 3.0)


def test_stages_at_once_by_the_file_or_the_option(file: Path) -> None:
    assert load_site().at_once == 1
    file.write_text("at_once: 2\n")
    assert load_site().at_once == 2
    assert load_site(at_once=3).at_once == 3
    file.write_text("at_once: 0\n")
    with pytest.raises(RecipeError, match="at_once"):
        load_site()


@pytest.mark.usefixtures("file")
def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCO_HARNESS_RUNS", "")
    assert load_site().runs == Path("/file/runs")


def test_the_site_that_is_named_replaces_the_users(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("runs: /other\n")
    found = load_site(site=other)
    assert (found.runs, found.device) == (Path("/other"), "auto")
    assert file.exists()


def test_without_xdg_it_lies_under_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".config" / "moco-harness" / "site.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("runs: ~/mine\ndata: /d\n")
    assert load_site().runs == tmp_path / "mine"


def test_home_is_expanded_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("MOCO_HARNESS_DATA", "~/data")
    assert load_site(runs=Path("~/runs")).runs == Path("/home/somebody/runs")
    assert load_site().data == Path("/home/somebody/data")


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:15"])
def test_a_device_has_a_form(device: str) -> None:
    assert load_site(device=device).device == device


@pytest.mark.parametrize("device", ["tpu", "cude", "meta", "cpu:x", "cuda:", "cuda:-1", "CPU", " "])
def test_what_is_no_device(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    with pytest.raises(RecipeError, match=f"^--device {device}: "):
        load_site(device=device)
    monkeypatch.setenv("MOCO_HARNESS_DEVICE", device)
    with pytest.raises(RecipeError, match=f"^MOCO_HARNESS_DEVICE={device}: "):
        load_site()


def test_nobodys_home_is_named() -> None:
    with pytest.raises(RecipeError, match="~nobody-of-this-name/x: "):
        load_site(runs=Path("~nobody-of-this-name/x"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("run: /x\n", r"site\.yaml:1.*did you mean runs"),
        ("\nask_above_hours: often\n", r"site\.yaml:2"),
        ("device: [cpu]\n", r"site\.yaml:1"),
        ("runs: /x\ndevice: tpu\n", r"site\.yaml:2: device: "),
        ("processes: 0\n", r"site\.yaml:1: processes"),
        ("data: {a\n", r"site\.yaml:"),
        ("", "empty"),
        ("partition: gpu\n", r"site\.yaml:1.*partition"),
    ],
)
def test_a_mistake_is_named_with_its_line(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(RecipeError, match=says):
        load_site()


def test_a_site_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml"):
        load_site(site=tmp_path / "none.yaml")


def test_no_test_sees_the_users_settings() -> None:
    assert not [name for name in os.environ if name.startswith("MOCO_HARNESS_")]
    assert not (Path(os.environ["XDG_CONFIG_HOME"]) / "moco-harness").exists()


CLUSTER = """\
slurm:
  partition: gpu
  account: me
  nodes: 2
  gpus_per_node: 8
  hours: {pretrain: 48}
  modules: [cuda/12.4]
  extra: {exclusive: true, mail-type: FAIL, nice: 10}
"""


def test_a_cluster(file: Path) -> None:
    file.write_text(CLUSTER)
    found = load_site().backend
    assert isinstance(found, SlurmSite)
    assert (found.partition, found.nodes, found.processes) == ("gpu", 2, 8)
    hours = found.hours.model_dump()
    assert (hours["pretrain"], hours["linear"]) == (48.0, 12.0)
    assert found.extra == {"exclusive": True, "mail-type": "FAIL", "nice": 10}
    file.write_text("slurm: {}\n")
    plain = load_site().backend
    assert isinstance(plain, SlurmSite)
    assert plain.processes == 1, "of a node without GPUs"
    file.write_text("slurm: {gpus_per_node: 4, processes_per_node: 2}\n")
    shared = load_site().backend
    assert isinstance(shared, SlurmSite)
    assert shared.processes == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("slurm: {partitio: x}\n", r"site\.yaml:1: slurm\.partitio: .*did you mean partition"),
        ("slurm:\n  nodes: 0\n", r"site\.yaml:2: slurm\.nodes"),
        ("slurm:\n  hours: 24\n", r"site\.yaml:2: slurm\.hours"),
        ("slurm:\n  extra: {array: 1-3}\n", r"slurm\.extra\.array: cannot be set here: "),
        ("slurm:\n  extra: {mem: 3}\n", r"slurm\.extra\.mem: cannot be set here: .*mem_gb"),
        ("slurm:\n  extra: {--mem: 3}\n", r"slurm\.extra\.--mem"),
        ("slurm:\n  setup: ['']\n", r"slurm\.setup\.0: "),
        ("slurm:\n  snapshot: never\n", r"site\.yaml:2: slurm\.snapshot"),
    ],
)
def test_a_mistake_about_the_cluster(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(RecipeError, match=says):
        load_site()


@pytest.mark.parametrize("field", ["partition", "account", "qos", "constraint"])
@pytest.mark.parametrize(
    "value",
    [
        *(
            "x\n#SBATCH --uid=0",
            "x\n",
            "x\r",
            "x\x00",
            "x\x85y",
            "x\u2028y",
            "",
            " ",
            "-x",
            "--uid=0",
        ),
        *("a b", "a\tb", "a'b", 'a"b', "a$HOME", "a`b", "a;b", "a\\b", "a#b"),
    ],
)
def test_what_is_no_name_of_slurms(file: Path, field: str, value: str) -> None:
    file.write_text(f"slurm: {{{field}: {json.dumps(value)}}}\n")
    with pytest.raises(RecipeError, match=rf"site\.yaml:1.*({field}|U\+[0-9A-F]{{4}})"):
        load_site()


@pytest.mark.parametrize("text", ["x\n#SBATCH --uid=0", "x\ry", "x\x00y", "x\x1by", "x\x0by", ""])
@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"slurm": {"stage_data": "?"}}, "stage_data"),
        ({"slurm": {"modules": ["cuda", "?"]}}, "modules.1"),
        ({"slurm": {"setup": ["?"]}}, "setup.0"),
        ({"slurm": {"extra": {"comment": "?"}}}, "extra.comment"),
        ({"data": "?"}, "data"),
        ({"runs": "?"}, "runs"),
        ({"device": "?"}, "device"),
    ],
)
def test_text_of_several_lines(file: Path, said: object, field: str, text: str) -> None:
    file.write_text(json.dumps(said).replace("?", json.dumps(text)[1:-1]))
    with pytest.raises(RecipeError, match=rf"site\.yaml:1.*({re.escape(field)}|U\+[0-9A-F]{{4}})"):
        load_site()


@pytest.mark.parametrize("name", ["uid", "gid", "wait", "wrap", "parsable", "test-only", "quiet"])
def test_options_that_are_not_the_sites(file: Path, name: str) -> None:
    file.write_text(f"slurm: {{extra: {{{name}: true}}}}\n")
    with pytest.raises(RecipeError, match=rf"slurm\.extra\.{name}: cannot be set here"):
        load_site()
    for other in (f"{name} --x", f"{name}=1", f"{name}\\n#SBATCH --uid"):
        file.write_text(f'slurm: {{extra: {{"{other}": true}}}}\n')
        with pytest.raises(RecipeError, match=r"site\.yaml"):
            load_site()


def test_what_clusters_really_say(file: Path) -> None:
    said = {
        "partition": "gpu,gpu-long_2",
        "account": "group@x.org/y",
        "constraint": "[a100|h100*2]&nvlink",
        "modules": ["cuda/12.4 gcc/13", "python/3.11"],
        "setup": ["\tsource 'my env'/bin/activate; export X=\"$HOME\""],
        "extra": {"comment": 'it\'s "ours"', "nice": -5, "mail-user": "a+b@c.de"},
    }
    file.write_text(json.dumps({"slurm": said}).replace("\\t", " "))
    assert load_site().backend is not None
