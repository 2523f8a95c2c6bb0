"""A W&B server that is not there, does not answer, answers late, or refuses the key.

The mirror is a process of its own, so these are whole commands: the run must end as one without
W&B, about as soon, and say what became of its mirror.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from faults.attempts import RECIPE, Reference, judge
from faults.table import Row
from harness.store.layout import StageFolder

pytestmark = pytest.mark.faults
KEY = "0123456789abcdef0123456789abcdef01234567"
LIMIT_S = 600


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


@contextmanager
def server(answer: int | None, seconds: float) -> Iterator[str]:
    """Answers every request with a status after so long; None: never."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

        def do_POST(self) -> None:
            over.wait(LIMIT_S if answer is None else seconds)
            self.send_response(answer or 503)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_PUT = do_POST

    with _Server(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            over.set()
            http.shutdown()
            thread.join()


@contextmanager
def nobody() -> Iterator[str]:
    """An address at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{probe.getsockname()[1]}"


FAULTS = {
    "W&B is unreachable": nobody,
    "W&B never answers": lambda: server(None, 0),
    "W&B answers after 5 s with errors": lambda: server(500, 5),
    "W&B refuses the key": lambda: server(401, 0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_run_does_not_care(tmp_path: Path, reference: Reference, row: Row, fault: str) -> None:
    row.fault, row.cases, row.runs = fault, 1, 1
    recipe, runs = tmp_path / "tiny.yaml", tmp_path / "runs"
    recipe.write_text(RECIPE)
    with FAULTS[fault]() as url:
        env = {**os.environ, "WANDB_MODE": "online", "WANDB_BASE_URL": url, "WANDB_API_KEY": KEY}
        env |= {"HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-m", "harness.cli", "run", str(recipe), "--runs", str(runs)]
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert KEY not in done.stdout + done.stderr
    for path in runs.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    (found,) = runs.glob("tiny-s0.pretrain-*")
    folder = StageFolder(found)
    row.recovered += 1
    judged = judge(folder, reference)
    row.identical += judged.identical
    row.lost += judged.lost
    assert row.whole
