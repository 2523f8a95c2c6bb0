"""submitit's handler as tests see it."""

from __future__ import annotations

import signal


class Requeued(BaseException):
    """What submitit's handler does in the end is to leave."""


def handler(number: int, _frame: object) -> None:
    assert number == signal.SIGUSR2
    raise Requeued
