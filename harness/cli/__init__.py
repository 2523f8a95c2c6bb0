"""The command line. Commands import what they need when they run, so that --help is quick."""

from __future__ import annotations

import io
import sys

from harness.errors import HarnessError


def main() -> None:
    """Run `moco-harness`; a user's mistake ends with its message and its exit code."""
    from harness.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our signs is no error
    try:
        app()
    except HarnessError as error:
        from harness.redact import redact

        for line in redact(str(error)).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
