"""What a running stage tells whoever watches. Every method is quick and never raises."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Watches one stage after the other."""

    def open(self, stage_id: str) -> None:
        """A stage's turn has come; it may end before it begins, where its data cannot be opened."""

    def begin(self, stage_id: str, *, total: int, done: int, steps_per_epoch: int) -> None:
        """The stage of `total` steps begins, `done` of which an earlier attempt has made."""

    def advance(self, step: int, figures: dict[str, float]) -> None:
        """`step` steps are done; `figures` are the newest values by metric."""

    def note(self, text: str) -> None:
        """Something that the user should know, in a sentence."""

    def end(self, state: str, figures: dict[str, float]) -> None:
        """The stage ended: finished, diverged, interrupted or failed."""


class Silent:
    """A reporter that says nothing."""

    def open(self, stage_id: str) -> None: ...

    def begin(self, stage_id: str, *, total: int, done: int, steps_per_epoch: int) -> None: ...

    def advance(self, step: int, figures: dict[str, float]) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self, state: str, figures: dict[str, float]) -> None: ...
