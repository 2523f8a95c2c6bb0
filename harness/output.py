"""What is printed or written down: a full disk under it stops nothing, and no run's words command
the terminal or change how what stands beside them is read."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from typing import Any

_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Controls other than tab and newline, what turns the direction of writing, what has no width, and
halves of a character."""


def escaped_json(text: str) -> str:
    """JSON's text, with its own escapes in place of what `inert` replaces."""
    return _COMMANDS.sub(lambda found: json.dumps(found[0])[1:-1], text)


def inert(text: str) -> str:
    """`text` with a sign in place of whatever would command a terminal; as long as before."""
    return _COMMANDS.sub("\ufffd", text)


class _Lossy(io.RawIOBase):
    """Writes to a file descriptor, which it leaves open; drops what cannot be written.

    Said once on standard error. A pipe whose reader has gone raises BrokenPipeError as ever.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self.lost: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return os.write(self._number, content)
        except BrokenPipeError:
            raise BrokenPipeError from None  # without errno, by which click would know it
        except BlockingIOError:
            raise
        except OSError as error:
            if self.lost is None:
                self.lost = error
                told = f"warning: {_name(self._number)}: {error.strerror}; its text is dropped\n"
                with contextlib.suppress(OSError):
                    os.write(2, told.encode())
            return memoryview(content).nbytes

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True


def _name(number: int) -> str:
    return {1: "standard output", 2: "standard error"}.get(number, f"file {number}")


def forgive() -> None:
    """From now on nothing that is printed fails for a full disk, or for a sign that the terminal
    does not have."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is not io.TextIOWrapper or isinstance(_raw(stream), _Lossy):
            continue  # a test's, or done
        with contextlib.suppress(OSError, io.UnsupportedOperation):
            stream.flush()
            made = io.TextIOWrapper(
                io.BufferedWriter(_Lossy(stream.fileno())),
                encoding=stream.encoding,
                errors="replace",
                line_buffering=stream.line_buffering or stream.write_through or name == "stderr",
            )
            setattr(sys, name, made)


def lost() -> bool:
    """Whether something printed to standard output since `forgive` could not be written."""
    raw = _raw(sys.stdout)
    if not isinstance(raw, _Lossy):
        return False
    sys.stdout.flush()
    return raw.lost is not None


def _raw(stream: Any) -> object:
    return getattr(getattr(stream, "buffer", None), "raw", None)
