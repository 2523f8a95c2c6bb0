"""What a user can do wrong, as exceptions that the command line prints without a traceback.

A message says what is wrong, where (file:line where there is one) and what to do about it.
"""

from __future__ import annotations

import re


class HarnessError(Exception):
    """A mistake or a circumstance that its message explains; `exit_code` is what scripts see."""

    exit_code = 1


class RecipeError(HarnessError):
    """A recipe, ablation or site file that cannot be accepted."""

    exit_code = 2


class DataError(HarnessError):
    """A data set that is absent, incomplete, corrupt, or not the one that the run began with."""

    exit_code = 3


class NoData(DataError):
    """The data set itself is absent or broken: no run on it can go on."""


class StoreError(HarnessError):
    """A run folder that cannot be written or read as it should."""

    exit_code = 4


class WrittenByNewer(StoreError):
    """A record of a newer version of the harness, whose meaning this one does not know."""


class DiskError(StoreError):
    """The disk is full or cannot be written: no stage can go on."""


class Busy(StoreError):
    """Another process is running this stage."""


class AlreadyDone(StoreError):
    """Another process has finished this stage meanwhile."""


class Superseded(HarnessError):
    """A newer attempt has taken this run over: this one must stop writing."""

    exit_code = 5


class TargetMissed(HarnessError):
    """`check` found a result that is not as wanted, or none where it needs one."""

    exit_code = 6


class NotYet(HarnessError):
    """`check` found nothing amiss, but some results are still to come."""

    exit_code = 7


def clause(message: str) -> str:
    """The first clause of a message, where there is room for no more."""
    first = message.strip().partition("\n")[0]
    return re.split(r"; | \(", first, maxsplit=1)[0].rstrip(":.")
