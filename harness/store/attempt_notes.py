"""Compare a result with the records of the attempt that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.store import atomic
from harness.store.layout import StageFolder, shown


def why_noted_otherwise(folder: StageFolder, result: Mapping[str, Any]) -> str:
    """Why the result differs from its attempt's records; "" if it agrees where both have a value.

    Raises:
        Unreadable: a record cannot be read.
    """
    return _why_ended_otherwise(folder, result) or _why_made_otherwise(folder, result)


def _why_ended_otherwise(folder: StageFolder, result: Mapping[str, Any]) -> str:
    """How the attempt that made the result says it ended, if the result says otherwise."""
    how = _of_attempt(folder, result, "ended.json").get("how")
    if how not in ("finished", "diverged") or how == result.get("state"):
        return ""
    return f"state is {shown(result.get('state'))}, but its attempt ended as {how}"


def _why_made_otherwise(folder: StageFolder, result: Mapping[str, Any]) -> str:
    """Which machine, code or data the attempt recorded, if the result says otherwise."""
    noted = _of_attempt(folder, result, "attempt.json")
    if isinstance(machine := noted.get("machine"), dict):
        noted |= {"device": machine.get("device")}
    edition = noted.pop("edition", None)
    if edition is not None and edition not in str(result.get("edition", edition)).split("+"):
        return f"edition is {shown(result['edition'])}, but its attempt has {shown(edition)}"
    wanted = ("device", "processes", "data", "inputs")
    return _why_unequal({key: noted[key] for key in wanted if noted.get(key) is not None}, result)


def _why_unequal(noted: Mapping[str, Any], said: Mapping[str, Any], under: str = "") -> str:
    """Which value differs, of those that both records have; "" if none."""
    for key in filter(said.__contains__, noted):
        one, other = noted[key], said[key]
        if isinstance(one, dict) and isinstance(other, dict):
            if why := _why_unequal(one, other, f"{under}{key}."):
                return why
        elif one != other:
            return f"{under}{key} is {shown(other)}, but its attempt has {shown(one)}"
    return ""


def _of_attempt(folder: StageFolder, result: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A record of the attempt that made the result; {} if that attempt or record is not known."""
    attempt = result.get("attempt")
    if type(attempt) is not int:
        return {}
    found = atomic.read_json(folder.path / "attempts" / f"{attempt:04d}" / name)
    return dict(found) if isinstance(found, dict) else {}
