"""What the functions of harness.app tell while they work, and what they ask."""

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
    from harness.stage.reporter import Reporter


class Declined(HarnessError):
    """The user does not want so much work to begin."""

    exit_code = 0


class Progress:
    """Listens to one call. Override what you want to hear of: here every method does nothing, and
    agrees. An error that a method raises ends the call."""

    def planned(self, plan: Plan, unfinished: Sequence[str]) -> None:
        """What there is to do; nothing has begun. `unfinished` names folders of data that were too
        large to be compared in time."""

    def drafts(self, plan: Plan, drafts: Drafts) -> None:
        """What a scheduler is about to be handed."""

    def confirm(self, plan: Plan, amount: Amount) -> bool:
        """Whether work that is long, or may be, shall begin; asked only where `ask` is set."""
        del plan, amount
        return True

    def begins(self, plan: Plan) -> None:
        """PyTorch is about to be loaded, then the plan's stages run in this process."""

    def working(self, stages: int) -> AbstractContextManager[tuple[Reporter, Callable[[], bool]]]:
        """Entered while so many stages run: who hears of their steps, and what is asked whether
        they shall stop at the next one."""
        del stages
        return _unwatched()

    def note(self, text: str) -> None:
        """Something that is not as it should be, in a sentence."""

    def say(self, text: str) -> None:
        """What goes on, in a sentence."""

    def ended(self, outcome: Outcome) -> None:
        """The stages have ended; the report comes next."""

    def nothing_to_do(self, plan: Plan) -> None:
        """All stages are finished; the report comes next."""

    def left(self, stages: Sequence[str]) -> None:
        """Nothing is left to do but these stages, which other processes have."""

    def reported(self, report: Report) -> None:
        """The report is written."""

    def not_reported(self, error: HarnessError) -> None:
        """The report could not be written."""

    def submitted(self, made: Submitted) -> None:
        """What is missing of a recipe was submitted, or need not be."""

    def recipe(self, path: Path) -> None:
        """`check` is about to run what this recipe lacks."""

    def refused(self, path: Path, error: HarnessError) -> None:
        """`check` could not run what this recipe lacks; Declined: it was not to."""

    def waiting(self, stages: int) -> None:
        """`check` waits for so many stages."""


@contextmanager
def _unwatched() -> Iterator[tuple[Reporter, Callable[[], bool]]]:
    from harness.stage.reporter import Silent

    yield Silent(), lambda: False
