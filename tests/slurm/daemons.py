"""The daemons of a test cluster: started, asked for, ended one by one or, surely, all at once.

They are the children of keeper.py, which ends them when this process does, whatever ends it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from slurm.keeper import descendants
from slurm.settings import Settings

CLIENTS = ("sacct", "sacctmgr", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
PROGRAMS = ("munged", "munge", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd")

JOBS = ("SLURM_", *(f"{client.upper()}_" for client in CLIENTS))
"""How variables begin that SLURM gives to jobs, and those that stand for options of its clients."""

PORTS = range(61000, 65536 - 16, 16)
"""First ports of blocks, above those that Linux gives by itself and those of the harness's jobs."""


PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"))
"""Where programs are: not everybody's PATH has the daemons' folders. As it is before a test puts
another cluster's clients into it."""


def missing() -> str:
    """Why there can be no cluster here; "" if there can."""
    if sys.platform != "linux":
        return "SLURM's daemons need Linux"
    if os.geteuid() != 0:
        return "a SLURM cluster of the tests' own needs root"
    absent = [name for name in (*PROGRAMS, *CLIENTS) if not shutil.which(name, path=PATH)]
    if absent:
        return f"not installed: {', '.join(absent)}"
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError as error:
        return f"the name of this machine, {socket.gethostname()}, does not resolve: {error}"
    return ""


class Daemons:
    """munged, mariadbd, slurmdbd, slurmctld, and a slurmd a node, named as the node is.

    Attributes:
        folder: all that they write; removed in the end.
        bin: SLURM's clients, which know the cluster by themselves.
        nodes: the nodes' names.
    """

    def __init__(self, nodes: int, cpus: int, memory_mb: int, gpus: int) -> None:
        self.nodes = tuple(f"127.0.0.{1 + node}" for node in range(nodes))
        self._guard, port = _claim(4 + nodes)
        # Not pytest's folder: a socket's path has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.folder.chmod(0o755)  # munged insists
        self.bin = self.folder / "bin"
        name = f"test{secrets.token_hex(4)}"
        self.settings = Settings(self.folder, port, name, self.nodes, cpus, memory_mb, gpus)
        self._pids: dict[str, int] = {}
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[self._guard.fileno()],  # the ports are taken until the last daemon has ended
            start_new_session=True,  # Ctrl-C is pytest's
        )
        atexit.register(self.stop)

    def start(self) -> None:
        """Start from nothing all but the nodes, until the controller answers."""
        self.settings.write()
        self.bin.mkdir()
        for client in CLIENTS:
            program = shutil.which(client, path=PATH)
            script = f'#!/bin/sh\nSLURM_CONF={self.settings.conf} exec {program} "$@"\n'
            (self.bin / client).write_text(script)
            (self.bin / client).chmod(0o755)
        self._launch("mariadb-install-db", self.settings.database())
        self.start_daemon("munged")
        self.until(lambda: not self.alive("mariadb-install-db"), 60, "the database is made")
        output = self.folder / "log" / "mariadb-install-db.out"
        assert self.settings.made.exists(), f"no database was made:\n{output.read_text()}"
        self.start_daemon("mariadbd")
        self.start_daemon("slurmdbd")
        self.client("sacctmgr", "-i", "-Q", "add", "cluster", self.settings.name)
        self.start_daemon("slurmctld")

    def stop(self) -> None:
        """End all, jobs included, at once, and remove the folder. Harmless if done before."""
        atexit.unregister(self.stop)
        self._guard.close()
        with contextlib.suppress(OSError):
            self._orders.close()
        self._keeper.wait(60)
        self._answers.close()

    def start_daemon(self, name: str) -> None:
        """Start one that does not run, until it answers (a slurmd: until it is there)."""
        if self.alive(name):
            return
        if name == "munged":
            self.settings.munge.unlink(missing_ok=True)  # left by one that was killed
        self._launch(name, self.settings.commands()[name])
        ready: dict[str, Callable[[], bool]] = {
            "munged": lambda: self._works("munge", "-S", str(self.settings.munge), "-n"),
            "mariadbd": lambda: _listening(self.settings.port),
            "slurmdbd": lambda: self._works("sacctmgr", "-n", "show", "cluster"),
            "slurmctld": lambda: self._works("scontrol", "ping"),
        }
        if name in ready:
            self.until(lambda: ready[name]() or not self.alive(name), 60, f"{name} answers")
        assert self.alive(name), f"{name} has ended:\n{self.log(name)}"

    def stop_daemon(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End one, and wait for its end. The steps of jobs outlive slurmd, as on any cluster.

        slurmctld writes its state each 5 s: killed with SIGKILL, it forgets its latest jobs.
        """
        if self.alive(name):
            os.kill(self._pids[name], how)
            self.until(lambda: not self.alive(name), 30, f"{name} has ended")

    def alive(self, name: str) -> bool:
        """Whether a daemon runs."""
        return name in self._pids and self._pids[name] in descendants(self._keeper.pid)

    def end_processes(self, which: Callable[[dict[str, str]], bool]) -> int:
        """SIGKILL for all with such an environment that jobs have brought; their number.

        All are stopped before the first is killed, so that none lives to tell of another's death.
        """
        found = []
        for pid in sorted(set(descendants(self._keeper.pid)) - set(self._pids.values())):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
                if which(dict(word.split("=", 1) for word in words.split("\0") if "=" in word)):
                    os.kill(pid, signal.SIGSTOP)
                    found.append(pid)
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return len(found)

    def client(self, *words: str) -> str:
        """What a command prints, stripped; AssertionError if it fails."""
        done = self._run(*words)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr or done.stdout}"
        return done.stdout.strip()

    def until(self, true: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for it; AssertionError with the queue and the daemons' words if it takes longer."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                logs = "\n".join(f"{name}:\n{self.log(name)}" for name in self._pids)
                queue = self._run("squeue", "-t", "all").stdout
                raise AssertionError(f"not in {seconds:g} s: {what}\n{queue}\n{logs}")
            time.sleep(0.05)

    def log(self, name: str) -> str:
        """The last lines of a daemon: of its log, or of its output if it came to no log."""
        for log in (self.folder / "log" / f"{name}.log", self.folder / "log" / f"{name}.out"):
            if log.exists() and (text := log.read_text(errors="replace")):
                return "\n".join(text.splitlines()[-10:])
        return ""

    def _launch(self, name: str, argv: list[str]) -> None:
        env = {
            "PATH": PATH,
            "SLURM_CONF": str(self.settings.conf),
            "MOCO_HARNESS_DAEMON": name,  # so that a node's steps can be told from another's
        }
        log = str(self.folder / "log" / f"{name}.out")
        print(json.dumps({"argv": argv, "env": env, "log": log}), file=self._orders, flush=True)
        answer = self._answers.readline()
        assert answer, f"{name} could not be started; the keeper's message is on standard error"
        self._pids[name] = int(answer)

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """As from a login node: jobs inherit the environment, but no job's variables."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(JOBS)}
        path = os.pathsep.join((str(self.bin), os.environ.get("PATH", os.defpath)))
        program = shutil.which(words[0], path=path) or words[0]
        return subprocess.run(
            [program, *words[1:]], env=env | {"PATH": path}, capture_output=True, text=True
        )

    def _works(self, *words: str) -> bool:
        return self._run(*words).returncode == 0

    @property
    def _orders(self) -> IO[str]:
        assert self._keeper.stdin is not None
        return self._keeper.stdin

    @property
    def _answers(self) -> IO[str]:
        assert self._keeper.stdout is not None
        return self._keeper.stdout


def _claim(count: int) -> tuple[socket.socket, int]:
    """A listener on the first port of a free block, which keeps others off, and the next port."""
    for first in PORTS:
        guard = socket.socket()
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(guard.close)
            guard.bind(("127.0.0.1", first))
            guard.listen()
            for port in range(first + 1, first + count):
                with socket.socket() as other:
                    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    other.bind(("", port))
            stack.pop_all()
            return guard, first + 1
    raise OSError("no free ports for a SLURM cluster")


def _listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
