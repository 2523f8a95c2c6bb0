"""The command line. Commands import what they need when they run, so that --help is quick."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from harness.errors import HarnessError, StoreError, unreadable
from harness.output import forgive, inert, lost


def main() -> None:
    """Run `moco-harness`; a user's mistake ends with its message and its exit code.

    What could not be printed ends with a StoreError's, unless something worse has.
    """
    from harness.cli.app import app

    forgive()
    try:
        try:
            app()
        except SystemExit as ended:
            if ended.code or not lost():
                raise
            sys.exit(StoreError.exit_code)
    except HarnessError as error:
        _refuse(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left is flushed in the end
        sys.exit(141)
    except OSError as error:
        if (found := unreadable(error)) is None:
            raise
        _refuse(found)


def _refuse(error: HarnessError) -> NoReturn:
    from harness.redact import redact

    for line in redact(str(error)).splitlines():
        print(f"error: {inert(line)}", file=sys.stderr)
    sys.exit(error.exit_code)
