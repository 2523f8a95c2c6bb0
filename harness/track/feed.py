"""The declared trackers, as this process may use them."""

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
"""Seconds that a tracker may take to read the environment; it must not use the network."""


def access(tracker: Tracker, env: Mapping[str, str] = os.environ) -> Access:
    """How the tracker would be used now.

    Raises:
        HarnessError: the environment asks for something impossible.
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
        raise TrackerError(
            f"{tracker.access} must return an Access with a mode, but returned {found!r}"
        )
    return found


def check(env: Mapping[str, str] = os.environ) -> None:
    """Check every tracker before anything runs. A tracker's own errors are left to the follower.

    Raises:
        HarnessError: the environment asks for something impossible.
    """
    for tracker in trackers().values():
        try:
            access(tracker, env)
        except TrackerError:
            continue


def online(env: Mapping[str, str] = os.environ) -> Iterator[tuple[Tracker, Access]]:
    """The trackers whose runs would be delivered, without those asked for something impossible."""
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
        opener: opens its runs; made when the first run is opened, which may load its library.
    """

    tracker: Tracker
    access: Access
    opener: Opener | None = None

    def open(self, metadata: Metadata) -> TrackedRun:
        """Open a run, or resume it. Raises TrackerError, and what the tracker raises."""
        return self.opened()(metadata)

    def opened(self) -> Opener:
        """What opens its runs."""
        if self.opener is None:
            self.opener = load(self.tracker.opener)()
        assert self.opener is not None
        return self.opener
