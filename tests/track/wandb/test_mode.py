from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.track.feed import online
from harness.track.wandb.mode import chosen_mode, credentials, project, redact

KEY = "local-" + "5ec4e7" * 7


@pytest.mark.parametrize(
    ("env", "mode"),
    [
        ({}, "offline"),
        ({"WANDB_API_KEY": KEY}, "online"),
        ({"WANDB_MODE": "online"}, "offline"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "offline"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "dryrun"}, "offline"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "disabled"}, "disabled"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "Offline"}, "offline"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": " OFFLINE\n"}, "offline"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "Disabled"}, "disabled"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "shared"}, "online"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "run"}, "online"),
        ({"WANDB_MODE": "Online"}, "offline"),
        ({"WANDB_API_KEY": KEY, "WANDB_DISABLED": " True "}, "disabled"),
        ({"WANDB_API_KEY": KEY, "WANDB_DISABLED": "false"}, "online"),
        ({"WANDB_API_KEY": KEY, "WANDB_DISABLED": "true"}, "disabled"),
    ],
)
def test_the_mode_is_what_the_variables_ask_for(
    env: dict[str, str], mode: str, tmp_path: Path
) -> None:
    assert chosen_mode({"HOME": str(tmp_path), **env}) == mode


@pytest.mark.parametrize(
    "env", [{"WANDB_MODE": "ofline"}, {"WANDB_MODE": "0"}, {"WANDB_DISABLED": "maybe"}]
)
def test_what_is_no_mode_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    (name,) = env
    with pytest.raises(RecipeError, match=f"^{name}: {env[name]}: "):
        chosen_mode({"HOME": str(tmp_path), **env})
    assert not list(online({"HOME": str(tmp_path), "WANDB_API_KEY": KEY, **env}))


def test_a_key_in_netrc_counts_for_its_server_only(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    (tmp_path / ".netrc").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert chosen_mode(env) == "online"
    assert chosen_mode({**env, "WANDB_BASE_URL": "https://wandb.lab.edu"}) == "offline"


def test_what_wandb_offline_and_wandb_disabled_write_counts(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "WANDB_API_KEY": KEY, "WANDB_CONFIG_DIR": str(tmp_path)}
    (tmp_path / "settings").write_text("[default]\nmode = offline\n")
    assert chosen_mode(env) == "offline"
    (tmp_path / "settings").write_text("[default]\nmode = disabled\n")
    assert chosen_mode(env) == "disabled"
    assert chosen_mode({**env, "WANDB_MODE": "online"}) == "online"
    (tmp_path / "settings").write_text("[default]\nmode = Off\n")
    with pytest.raises(RecipeError, match="settings"):
        chosen_mode(env)
    (tmp_path / "settings").write_text("\0not settings")
    assert chosen_mode(env) == "online"


def test_the_key_is_kept_out_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert credentials() == KEY
    assert redact(f"refused {KEY}!") == "refused ***!"


def test_the_project_has_a_default() -> None:
    assert project({}) == "moco-harness"
    assert project({"WANDB_PROJECT": "mine"}) == "mine"
