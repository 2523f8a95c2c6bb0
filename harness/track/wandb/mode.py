"""Whether to mirror online, offline or not at all, decided without importing wandb.

The rules are wandb's own: WANDB_MODE and WANDB_DISABLED, then the files that `wandb login`,
`wandb offline` and `wandb disabled` write. Without a key, online becomes offline, without a prompt.
"""

from __future__ import annotations

import configparser
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import RecipeError
from harness.track.protocol import Access, Mode

PROJECT = "moco-harness"
"""The W&B project, unless WANDB_PROJECT names another."""
SERVER = "https://api.wandb.ai"
TRUE = ("1", "true", "yes", "on", "t", "y")
FALSE = ("", "0", "false", "no", "off", "f", "n")
MODES: dict[str, Mode] = {
    **dict.fromkeys(("", "online", "run", "shared"), "online"),
    **dict.fromkeys(("offline", "dryrun"), "offline"),
    "disabled": "disabled",
}
"""wandb's modes, and what they mean here, where each run has one writer."""


def chosen_mode(env: Mapping[str, str] = os.environ) -> Mode:
    """The mode that the user's environment and wandb's own files ask for, in any letter case.

    Raises:
        RecipeError: it is no mode of wandb's; wandb would refuse every run.
    """
    filed = _settings(env)
    said = {name: env.get(name, "").strip() for name in ("WANDB_MODE", "WANDB_DISABLED")}
    asked, where = said["WANDB_MODE"], "WANDB_MODE"
    if not asked:
        asked, where = filed.get("mode", "").strip(), "mode, in the file `settings` of wandb"
    if (mode := MODES.get(asked.lower())) is None:
        words = ", ".join(filter(None, MODES))
        raise RecipeError(f"{where}: {asked}: unknown mode; use one of {words}")
    if (switch := said["WANDB_DISABLED"].lower()) not in (*TRUE, *FALSE):
        raise RecipeError(f"WANDB_DISABLED: {switch}: use true or false")
    disabled = not asked and filed.get("disabled", "").strip().lower() in TRUE
    if switch in TRUE or disabled:
        return "disabled"
    return "offline" if mode == "online" and not credentials(env) else mode


def access(env: Mapping[str, str] = os.environ) -> Access:
    """Where W&B's runs would go now. Raises RecipeError as `chosen_mode` does."""
    mode, key = chosen_mode(env), credentials(env)
    why = ""
    if mode != "online":
        keyless = mode == "offline" and not key
        why = "no W&B key; set one with `wandb login`" if keyless else f"W&B is set to {mode}"
    return Access(mode, project(env), server(env), why, (key,) if key else ())


def project(env: Mapping[str, str] = os.environ) -> str:
    """The W&B project to mirror into."""
    return env.get("WANDB_PROJECT") or PROJECT


def server(env: Mapping[str, str] = os.environ) -> str:
    """The address of W&B's server."""
    return (env.get("WANDB_BASE_URL") or _settings(env).get("base_url") or SERVER).rstrip("/")


def credentials(env: Mapping[str, str] = os.environ) -> str | None:
    """The key (or the path of the identity token) that wandb would use; None without one."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        if env.get(name):
            return env[name]
    filed = _settings(env)
    for name in ("api_key", "identity_token_file"):
        if filed.get(name):
            return filed[name]
    host = urlsplit(server(env)).netloc
    named = env.get("NETRC")
    homely = [home / name for home in _home(env) for name in (".netrc", "_netrc")]
    for path in [Path(named)] if named else homely:
        try:
            found = netrc.netrc(path).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue
        if found and found[2]:
            return found[2]
    return None


def redact(text: str) -> str:
    """`text` without W&B's key or any other, for messages of other software."""
    key = credentials()
    return Access("online", secrets=(key,) if key else ()).redact(text)


def _home(env: Mapping[str, str]) -> list[Path]:
    """The user's home folder; [] if there is none."""
    try:
        return [Path(env.get("HOME") or Path.home())]
    except (RuntimeError, KeyError):  # no HOME, and no entry in the passwd file
        return []


def _settings(env: Mapping[str, str]) -> dict[str, str]:
    """wandb's settings files; the working folder's values override the user's."""
    own = env.get("WANDB_CONFIG_DIR")
    homely = [home / ".config" / "wandb" for home in _home(env)]
    files = [
        *(folder / "settings" for folder in ([Path(own)] if own else homely)),
        Path(env.get("WANDB_DIR") or ".") / "wandb" / "settings",
    ]
    parser = configparser.ConfigParser(default_section="", interpolation=None)
    for path in files:
        try:
            parser.read(path)
        except (OSError, configparser.Error, UnicodeError):
            continue
    return dict(parser["default"]) if parser.has_section("default") else {}
