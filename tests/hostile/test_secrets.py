"""No key, token or password of whoever runs it reaches a file of a run, a report or a log."""

from __future__ import annotations

import time
from pathlib import Path

import forked
import pytest
from cli.tiny import command
from stage.tiny import write

from harness.errors import RecipeError
from harness.recipe.load import load
from harness.redact import redact, secret, without_places

PLANTED = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYPLANTEDKEY",
    "HF_TOKEN": "hf_PlantedPlantedPlantedPlantedPlanted",
    "PGPASSWORD": "correct-horse-battery",
    "MYSQL_PWD": "planted-horse-battery",
    "SSH_PASSPHRASE": "a planted phrase that opens",
    "DB_PASS": "planted-staple",
    "GITHUB_PAT": "planted0pat0planted0pat",
    "SLURM_JWT": "eyJhbGciOiJIUzI1NiJ9.planted.planted",
}
IN_URL = "https://someone:s3cr3t-pass@example.org/w.pth"
SIGNED = "https://example.org/w.pth?X-Amz-Signature=abcdef0123456789abcdef"
GITHUB = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
NEEDLES = (*PLANTED.values(), "s3cr3t-pass", GITHUB, "abcdef0123456789abcdef")


SECRETS = (
    *PLANTED.values(), IN_URL, SIGNED, GITHUB, f"https://{GITHUB}@github.com/x/y",
    "-----BEGIN PRIVATE KEY-----\nMII",
    "export WANDB_API_KEY='abcdef0123456789abcdef0123'", "Bearer abcdef0123456789abcdef",
    "WANDB_API_KEY = 'abcdef0123456789abcdef'", '"api_key": "abcdef0123456789abcdef"',
    "Bearer abcdefabcdefabcdefabcdef", "hf_token: abcdef0123456789abcdef",
    "Authorization: Basic abcdef0123456789abcdef==", "wandb_v1_abcdef0123456789abcdef0123456789ab",
)  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_what_is_secret_is_seen_and_hidden(text: str) -> None:
    whole = f"a sentence with {text} in it"
    found = secret(whole, PLANTED)
    assert found is not None
    assert text not in found[0]
    hidden = redact(whole, PLANTED)
    assert hidden.startswith("a sentence with ")
    assert not any(needle in hidden for needle in NEEDLES)
    assert secret(hidden, PLANTED) is None


@pytest.mark.parametrize(
    "text",
    ["https://example.org/a?b=c", "arXiv:1911.05722", "a@b.c", "key: value", "token",
     "d0fc95298a06", "https://github.com/facebookresearch/moco",
     "sha256: 0123456789abcdef0123456789abcdef",
     "git@github.com:x/y.git", "mean: 50 @ 200", "/scratch/key/data", "a key encoder's momentum",
     "token: Mapping[str, Any]", "basic torch/nn/modules/conv2d.py",
     "token = secrets.token_hex(16)", "next_token = tokenizer.decode(ids[0:1])",
     "the token: https://docs.example.org/v2/page", "unexpected token: a_long_name_of_something",
     "export HF_TOKEN=$(cat ~/.token)", "API_KEY=/run/secrets/of-the-site",
     "moco_v2_imagenet100_batch_256_lr_003_cosine-s0.pretrain-0123456789"],
)  # fmt: skip
def test_what_is_not_is_left_alone(text: str) -> None:
    env = {
        "KEY": "short",
        "PROJECT_KEY": "a key encoder",
        "TOKEN_FILE": "/scratch/key/data",
        "EDITOR": "arXiv:1911.05722",
        "PWD": "/scratch/key/data",
        "OLDPWD": "https://example.org/a?b=c",
        "GIT_AUTHOR_NAME": "a key encoder's momentum",
    }
    assert secret(text, env) is None
    assert redact(text, env) == text


@pytest.mark.parametrize("text", [IN_URL, SIGNED, GITHUB, PLANTED["AWS_SECRET_ACCESS_KEY"]])
def test_a_recipe_may_not_hold_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    for old, new in (("name: tiny", f"name: tiny\nabout: {{source: '{text}'}}"),
                     ("name: tiny", f"name: tiny  # {text}")):  # fmt: skip
        with pytest.raises(RecipeError, match=r"tiny\.yaml:\d: .* remove it") as refused:
            load(write(tmp_path, old=old, new=new))
        assert text not in str(refused.value)
    with pytest.raises(RecipeError, match=r"--set about\.source=") as refused:
        load(write(tmp_path), [f"about.source={text}"])
    assert text not in str(refused.value)


@pytest.mark.parametrize("words", ["run", "fail"])
def test_a_whole_run_keeps_none(tmp_path: Path, words: str) -> None:
    """Keys in the environment, in arguments, in a remote's address and in an error's text; every
    file of the run root and all that is printed is searched."""
    recipe = write(tmp_path)
    runs, data = tmp_path / "runs", tmp_path / f"data-{PLANTED['HF_TOKEN']}"
    env = {**PLANTED, "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    env |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "remote.origin.url",
            "GIT_CONFIG_VALUE_0": f"https://{GITHUB}@github.com/x/y"}  # fmt: skip
    base = ["--runs", str(runs)]
    more = ["--data", str(data)]
    if words == "fail":
        env |= dict.fromkeys(("http_proxy", "https_proxy"), "http://u:s3cr3t-pass@127.0.0.1:9")
        more += ["--set", "data.name=cifar10", "--set", "data.images=80"]
    said = tmp_path / "said.txt"
    lines = (
        ["plan", str(recipe), *base], ["run", str(recipe), *base, *more], ["status", *base],
        ["report", str(recipe), *base], ["sync", *base],
        ["run", str(recipe), *base, "--set", f"about.source={IN_URL}"],
    )  # fmt: skip
    for line in lines[1:2] if words == "fail" else lines:
        process = forked.start(command, *line, said=said, env=env)
        process.join(500)
        assert process.exitcode is not None
    until = time.monotonic() + 120
    while not all(log.read_text().endswith("ended\n") for log in runs.glob(".wandb-follow/*.log")):
        assert time.monotonic() < until, "the followers end soon after what they follow"
        time.sleep(0.1)
    assert list(runs.glob(".wandb-follow/*.log"))
    printed = said.read_bytes()
    assert b"Traceback" not in printed
    assert runs.exists()
    files = [path for path in runs.rglob("*") if path.is_file()]
    assert any(path.name == "attempt.json" for path in files) or words == "fail"
    for needle in NEEDLES:
        assert needle.encode() not in printed
        for path in files:
            assert needle.encode() not in path.read_bytes(), path
            assert needle not in str(path)


@pytest.mark.parametrize(
    ("text", "public"),
    [("--data=/scratch/g/data:/home/al/own", "--data=…/data:…/own"),
     ("host:/home/al/own", "host:…/own"), ("file:///home/al/own", "file://…/own"),
     ("model.weights={file: /home/al/x.pt}", "model.weights={file: …/x.pt}"),
     ("/data/al/x.pt: no such file", "…/x.pt: no such file"),
     ("https://example.org/a/b", "https://example.org/a/b"), ("1/2/3", "1/2/3")],
)  # fmt: skip
def test_of_a_place_only_its_last_part_is_public(text: str, public: str) -> None:
    assert without_places(text) == public


@pytest.mark.parametrize(
    ("word", "public"),
    [("/home/al/My Pictures/own set", "…/own set"), ("--data=/home/al/My Set/own", "--data=…/own"),
     ("data.folder=/home/al/My Pictures/own set/", "data.folder=…/own set"),
     ("--note=1/2 of b", "--note=1/2 of b"), ("/data/a:/data/My Set", "…/a:…/My Set")],
)  # fmt: skip
def test_a_recorded_folder_may_have_blanks(word: str, public: str) -> None:
    record = {"command": ["run", word], "inputs": {"data": {"path": "/home/al/My Set/own"}}}
    kept = {"command": ["run", public], "inputs": {"data": {"path": "…/own"}}}
    assert without_places(record) == kept


def test_a_path_ends_at_a_blank_in_a_sentence() -> None:
    record = {"message": "/home/al/a is not 1/2 of b"}
    assert without_places(record) == {"message": "…/a is not 1/2 of b"}
