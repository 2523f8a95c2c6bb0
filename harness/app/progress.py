"""Callbacks of the functions of harness.app: progress and questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.app.results import Outcome, Report, Submitted
from harness.errors import HarnessError
from harness.launch.protocol import Amount, Drafts

if TYPE_CHECKING:
    from harness.plan import Plan
    from harness.preflight.warned import Preflight
    from harness.stage.reporter import Reporter


class Declined(HarnessError):
    """The user refused to start long work."""

    exit_code = 0


class Progress:
    """Callbacks for one call. Override the methods that you need: here every method does nothing,
    and `confirm` agrees. An error that a method raises ends the call."""

    def planned(self, plan: Plan, unfinished: Sequence[str]) -> None:
        """The plan is made and nothing has started. `unfinished` names folders of data that were
        too large to be compared in time."""

    def warned(self, found: Preflight) -> None:
        """Warnings of settings that cannot work; called before work begins."""

    def drafts(self, plan: Plan, drafts: Drafts) -> None:
        """These drafts are about to be submitted to a scheduler."""

    def confirm(self, plan: Plan, amount: Amount) -> bool:
        """Whether to start work that takes long or may take long; called only with `ask`."""
        del plan, amount
        return True

    def begins(self, plan: Plan) -> None:
        """PyTorch is about to be loaded; then the plan's stages run in this process."""

    def working(self, stages: int) -> AbstractContextManager[tuple[Reporter, Callable[[], bool]]]:
        """Context in which this number of stages runs. It gives a reporter of their steps, and a
        function that says whether to stop at the next step."""
        del stages
        return _unwatched()

    def note(self, text: str) -> None:
        """A warning, in one sentence."""

    def say(self, text: str) -> None:
        """What is happening, in one sentence."""

    def ended(self, outcome: Outcome) -> None:
        """The stages have ended; the report is next."""

    def nothing_to_do(self, plan: Plan) -> None:
        """All stages are finished; the report is next."""

    def left(self, stages: Sequence[str]) -> None:
        """Only these stages are left, and other processes run them."""

    def reported(self, report: Report) -> None:
        """The report is written."""

    def not_reported(self, error: HarnessError) -> None:
        """The report could not be written."""

    def submitted(self, made: Submitted) -> None:
        """The missing stages of a recipe were submitted, or did not have to be."""

    def recipe(self, path: Path) -> None:
        """`check` is about to run the missing stages of this recipe."""

    def refused(self, path: Path, error: HarnessError) -> None:
        """`check` could not run the missing stages of this recipe; Declined: the user refused."""

    def waiting(self, stages: int) -> None:
        """`check` waits for this number of stages."""


@contextmanager
def _unwatched() -> Iterator[tuple[Reporter, Callable[[], bool]]]:
    from harness.stage.reporter import Silent

    yield Silent(), lambda: False
