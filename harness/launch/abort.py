"""Abort a process that lost a peer while its main thread is blocked, in NCCL for example, where no
exception can reach it. The exit is as sudden as a kill, but records which peer was lost."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from harness.errors import StoreError
from harness.redact import redact
from harness.runtime.failure_detection import LostPeer, exit_now
from harness.store import liveness
from harness.store.attempt import write_end
from harness.store.layout import StageFolder


def abort_stage(folder: StageFolder, lost: LostPeer) -> NoReturn:
    """End this process; mark the attempt as failed if it is this process's."""
    with contextlib.suppress(StoreError, OSError):
        attempts = folder.attempts()
        who = liveness.holder(attempts[-1]) if attempts else None
        if who is not None and who == liveness.identity():
            write_end(attempts[-1], "failed", str(lost))
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr.isatty():
            sys.stderr.write("\x1b[?25h\n")  # a progress bar hides the cursor
    exit_now(LostPeer(redact(str(lost)), lost.died, lost.exit_code))


def abort_after(work: Callable[[LostPeer], object], lost: LostPeer) -> NoReturn:
    """Run `work` on a thread while the main thread is blocked; end the process with the exit code
    of the error that it raises."""
    code: object = lost.exit_code
    try:
        work(lost)
    except SystemExit as left:
        code = left.code
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code if isinstance(code, int) else lost.exit_code)
