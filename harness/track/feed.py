"""The declared trackers as this process may use them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from harness.errors import HarnessError
from harness.spec.declarations import Tracker, load
from harness.spec.registry import trackers
from harness.track.bounded import bounded
from harness.track.protocol import Access, Metadata, Mode, Opener, TrackedRun, TrackerError

ACCESS_S = 10.0
"""Seconds in which a tracker must have looked at the environment; it may ask no network."""


def access(tracker: Tracker, env: Mapping[str, str] = os.environ) -> Access:
    """How the tracker would be used now.

    Raises:
        HarnessError: the environment asks of it what is not possible.
        TrackerError: it fails or hangs.
    """

    def ask() -> object:
        try:
            return load(tracker.access)(env)
        except HarnessError as error:
            return error

    found = bounded(ask, ACCESS_S, f"{tracker.title}, asked for its mode")
    if isinstance(found, HarnessError):
        raise found
    if not isinstance(found, Access) or found.mode not in get_args(Mode):
        raise TrackerError(f"{tracker.access} gives no Access with a mode, but {found!r}")
    return found


def check(env: Mapping[str, str] = os.environ) -> None:
    """Ask every tracker before anything runs. Trouble of its own making stays with the follower.

    Raises:
        HarnessError: the environment asks of one what is not possible.
    """
    for tracker in trackers().values():
        try:
            access(tracker, env)
        except TrackerError:
            continue


def online(env: Mapping[str, str] = os.environ) -> Iterator[tuple[Tracker, Access]]:
    """Those whose runs would be delivered; not so where what is asked for is not possible."""
    try:
        declared = trackers()
    except HarnessError:
        return
    for tracker in declared.values():
        try:
            found = access(tracker, env)
        except (HarnessError, TrackerError):
            continue
        if found.mode == "online":
            yield tracker, found


@dataclass
class Feed:
    """A tracker that this process mirrors into.

    Attributes:
        opener: opens its runs; made, and its library perhaps loaded, when the first is opened.
    """

    tracker: Tracker
    access: Access
    opener: Opener | None = None

    def open(self, card: Metadata) -> TrackedRun:
        """Open a run, or go on with it. Raises TrackerError, and what the tracker raises."""
        if self.opener is None:
            self.opener = load(self.tracker.opener)()
        assert self.opener is not None
        return self.opener(card)
