"""Safe output: a full disk causes no error, and text from runs cannot control the terminal or
change how the text beside it is displayed."""

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
"""Control characters except tab and newline, changes of the writing direction, characters of zero
width, and halves of a character (surrogates)."""


def escaped_json(text: str) -> str:
    """JSON text with JSON escapes for the characters that `inert` replaces."""
    return _COMMANDS.sub(lambda found: json.dumps(found[0])[1:-1], text)


def inert(text: str) -> str:
    """`text` with a sign for each character that could control a terminal; its length stays the
    same."""
    return _COMMANDS.sub("\ufffd", text)


class _Lossy(io.RawIOBase):
    """Writes to a file descriptor, which it does not close; drops what cannot be written.

    Reports this once on standard error. A pipe without a reader raises BrokenPipeError as usual.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self.lost: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return os.write(self._number, content)
        except BrokenPipeError:
            raise BrokenPipeError from None  # without errno, so that click does not catch it
        except BlockingIOError:
            raise
        except OSError as error:
            if self.lost is None:
                self.lost = error
                warning = f"warning: {_name(self._number)}: {error.strerror}; its text is lost\n"
                with contextlib.suppress(OSError):
                    os.write(2, warning.encode())
            return memoryview(content).nbytes

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True


def _name(number: int) -> str:
    return {1: "standard output", 2: "standard error"}.get(number, f"file {number}")


def tolerate_print_errors() -> None:
    """From now on, printing does not fail because of a full disk, or a character that the terminal
    does not have."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is not io.TextIOWrapper or isinstance(_raw(stream), _Lossy):
            continue  # replaced by a test, or already done
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
    """Whether something printed to standard output could not be written, since
    `tolerate_print_errors`."""
    raw = _raw(sys.stdout)
    if not isinstance(raw, _Lossy):
        return False
    sys.stdout.flush()
    return raw.lost is not None


def _raw(stream: Any) -> object:
    return getattr(getattr(stream, "buffer", None), "raw", None)
