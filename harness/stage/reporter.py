"""Reporter: receives the progress of a running stage. Methods are quick and never raise."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Reports the progress of one stage after the other."""

    def open(self, stage_id: str) -> None:
        """The stage is next; it may end before it starts, if its data cannot be opened."""

    def begin(self, stage_id: str, *, total: int, done: int, steps_per_epoch: int) -> None:
        """The stage of `total` steps starts; an earlier attempt has made `done` of them."""

    def advance(self, step: int, figures: dict[str, float]) -> None:
        """`step` steps are done; `figures` are the newest values by metric."""

    def note(self, text: str) -> None:
        """Something that the user should know, in one sentence."""

    def end(self, state: str, figures: dict[str, float]) -> None:
        """The stage ended: finished, diverged, interrupted or failed."""


class Silent:
    """A reporter that shows nothing."""

    def open(self, stage_id: str) -> None: ...

    def begin(self, stage_id: str, *, total: int, done: int, steps_per_epoch: int) -> None: ...

    def advance(self, step: int, figures: dict[str, float]) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self, state: str, figures: dict[str, float]) -> None: ...
