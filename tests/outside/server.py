"""Commands with the package installed, forked from a process that has loaded what they load.

`python server.py` is that process. It reads one command a line, as JSON, and answers with its
process id, then, when it has ended, with its exit code.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

PACKAGE = Path(__file__).parent / "package"


def environment(*, installed: bool = True) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MOCO_HARNESS")}
    paths = [str(PACKAGE)] if installed else []
    paths += [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    own = {"PYTHONPATH": os.pathsep.join(paths), "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    return kept | own


class Server:
    """Runs commands, one at a time."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        words = [sys.executable, __file__]
        self._process = subprocess.Popen(
            words, env=environment(), stdin=pipe, stdout=pipe, text=True
        )
        self._said = tempfile.TemporaryDirectory()

    def begin(self, place: Path, *words: str) -> int:
        """The process id of the command, which `end` waits for."""
        asked = {"words": words, "place": str(place), "said": str(self._file)}
        self._file.unlink(missing_ok=True)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._number()

    def end(self) -> tuple[int, str]:
        """The exit code of the command, and what it printed."""
        return self._number(), self._file.read_text()

    def close(self) -> None:
        with self._process:
            self._process.kill()
        self._said.cleanup()

    @property
    def _file(self) -> Path:
        return Path(self._said.name, "said.txt")

    def _number(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@functools.cache
def server() -> Server:
    made = Server()
    atexit.register(made.close)
    return made


def say(place: Path, *words: str, code: int = 0, installed: bool = True) -> str:
    if installed:
        server().begin(place, *words)
        ended, said = server().end()
    else:
        command, env = [sys.executable, "-m", "harness.cli", *words], environment(installed=False)
        done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True)
        ended, said = done.returncode, done.stdout + done.stderr
    assert ended == code, f"{words}: {said}"
    return said


def serve() -> None:
    from forked import LOADED

    for module in LOADED:
        importlib.import_module(module)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            _run(**asked)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _run(words: list[str], place: str, said: str) -> None:
    """Become the command: a group of processes of its own, as a terminal begins it."""
    from harness.cli import main

    os.setsid()
    os.chdir(place)
    empty, file = os.open(os.devnull, os.O_RDONLY), os.open(said, os.O_WRONLY | os.O_CREAT)
    for stream, to in enumerate((empty, file, file)):
        os.dup2(to, stream)
    sys.argv = ["moco-harness", *words]
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)  # to tear PyTorch down takes a second


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    serve()
