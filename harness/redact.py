"""Keep keys, tokens, passwords and the places of a machine out of files that others read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

SHORTEST, LONG = 8, 20
"""Lengths of a variable's value. A value shorter than SHORTEST is no secret. A key or token shorter
than LONG must have digits, else it is a name (PROJECT_KEY=moco-harness)."""
HIDDEN = "***"

_NAME = re.compile(
    r"KEY|TOKEN|CREDENTIAL|JWT|_PAT$|(?:^|_)AUTH$|(SECRET|PASSW|PASSPHRASE|(?:^|_)PASS$|_PWD$)"
)
_NO_VALUE = re.compile(r"(FILE|PATH|DIR|SOCK|CONTROL|URL|URI)$")
"""Such a variable holds the place of a secret, not the secret."""
_KNOWN = {
    "a password in an address": r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)|(?<=://)[^\s/@:]{20,}(?=@)",
    "a signature or key in an address": (
        r"(?<=[?&])(?:[\w-]*(?:token|signature|secret|password|api_?key)|sig|key)=[^\s&#'\"]{8,}"
    ),
    "an access token": (
        r"\b(?:hf_[A-Za-z0-9]{20,}|gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_\w{30,}"
        r"|glpat-[\w-]{20,}|xox[abprs]-[\w-]{10,}|sk-[\w-]{30,}"
        r"|[a-z]+_v\d_(?=\w*[A-Za-z0-9]{20})\w{30,}|AKIA[0-9A-Z]{16}\b|bearer [\w.~+/-]{20,}"
        r"|(?<=authorization: )basic [\w+/=-]{16,})"
    ),
    "the value of a variable": (
        r"\b\w*(?:API_KEY|TOKEN|SECRET|PASSWORD)"
        r"(?:=['\"]?|['\"]? *[=:] *['\"]?(?=[\w.~+/=-]{0,200}\d)(?![^\s'\"]{0,200}[([{:]))"
        r"(?![$/~])[^\s'\"$]{16,}"
    ),
    "a private key": (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    ),
}
_PATTERNS = {what: re.compile(pattern, re.IGNORECASE) for what, pattern in _KNOWN.items()}


def secret(text: str, env: Mapping[str, str] = os.environ) -> tuple[str, int] | None:
    """Description (which does not repeat the secret) and start of a secret in `text`; None if there
    is none."""
    for name, value in _secrets(env):
        if value in text:
            return f"the value of the variable {name}", text.index(value)
    found = ((what, pattern.search(text)) for what, pattern in _PATTERNS.items())
    return next(((what, match.start()) for what, match in found if match), None)


PLACES = ("host", "untracked")
"""Keys of records that say where a run was made."""

_PATH = re.compile(r"(?:(?<=file://)|(?<![\w./]))(?:~|/[\w.@+-]+)(?:/[\w.@+-]+)+/?")
"""An absolute path of two names or more. Blanks end it, as in a sentence."""
_NOTHING_ELSE = re.compile(r"([\w.-]+=|file://)?(?:~|/[^/:\n]+)(?:/[^/:\n]+)+/?")
"""A text that is such a path and no more, so that its blanks are its own."""
_ONE_PATH = ("path", "command")
"""Keys of records whose texts are no sentences: each is an absolute path, or has none."""


def without_places(value: Any, key: str = "") -> Any:
    """The JSON value without the keys PLACES at any depth; each absolute path is cut to its last
    part.

    Args:
        key: that of the value in its record.
    """
    if isinstance(value, dict):
        return {
            name: without_places(each, name) for name, each in value.items() if name not in PLACES
        }
    if isinstance(value, list):
        return [without_places(each, key) for each in value]
    if isinstance(value, str):
        if key in _ONE_PATH and (whole := _NOTHING_ELSE.fullmatch(value)):
            return f"{whole[1] or ''}{_last_part(value)}"
        return _PATH.sub(lambda found: _last_part(found[0]), value)
    return value


def places_in(sentence: str) -> dict[str, str]:
    """Each absolute path in it, and what `without_places` puts in its place."""
    return {found[0]: _last_part(found[0]) for found in _PATH.finditer(sentence)}


def _last_part(path: str) -> str:
    return f"…/{path.rstrip('/').rpartition('/')[2]}"


def redact(text: str, env: Mapping[str, str] = os.environ) -> str:
    """`text` with *** in place of every secret."""
    for _, value in _secrets(env):
        text = text.replace(value, HIDDEN)
    for pattern in _PATTERNS.values():
        text = pattern.sub(HIDDEN, text)
    return text


def _secrets(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The variables that hold a secret, by name, the longest first."""
    found = [pair for pair in env.items() if _holds_secret(*pair)]
    return iter(sorted(found, key=lambda each: -len(each[1])))


def _holds_secret(name: str, value: str) -> bool:
    named = _NAME.search(name.upper())
    if named is None or len(value) < SHORTEST or _NO_VALUE.search(name.upper()):
        return False
    if value.startswith("/") and name.upper().endswith("_PWD"):
        return False  # a working folder
    return bool(named[1]) or len(value) >= LONG or any(sign.isdecimal() for sign in value)
