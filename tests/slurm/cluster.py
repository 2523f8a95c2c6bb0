"""A SLURM cluster of this machine alone, for tests, and the faults that clusters have.

    with Cluster() as cluster:
        job = cluster.submit("srun sleep 60", "--nodes=2", "--time=10")
        cluster.wait(job, "RUNNING")
        cluster.preempt(job)

Everything is real but the nodes' size and their GPUs. Put `cluster.bin` in front of PATH: its
sbatch, squeue, ... know the cluster without a variable of the environment, as a login node's do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from slurm.daemons import Daemons


class Cluster(Daemons):
    """munge, accounting, a controller and nodes. Partitions: `low`, the default, whose jobs give
    way to those of `high` and are requeued.

    Args:
        nodes: how many; their names are addresses, 127.0.0.1, 127.0.0.2, ...
        cpus: of each node, whatever this machine has.
        memory_mb: of each node, in MiB; told to jobs, but not enforced.
        gpus: of each node; counted and told to jobs, but there are none.
    """

    def __init__(self, nodes: int = 2, cpus: int = 8, memory_mb: int = 8000, gpus: int = 2) -> None:
        super().__init__(nodes, cpus, memory_mb, gpus)

    def __enter__(self) -> Cluster:
        try:
            self.start()
            for node in self.nodes:
                self.start_node(node)
            self.until(self.idle, 30, "the nodes are idle")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def heal(self) -> None:
        """Cancel all jobs, start and resume whatever is down, until all nodes are idle."""
        for name in self.settings.commands():
            self.start_daemon(name)
        self.client("scancel", "--user=root")
        for node in self.nodes:
            self.start_node(node)
        patience = time.monotonic() + 3
        self.until(lambda: self._emptied(time.monotonic() > patience), 60, "all is idle")

    def _emptied(self, by_force: bool) -> bool:
        """Whether no job is left, which is helped along."""
        if not self.client("squeue", "-h"):
            return self.idle()
        # Tasks may ignore SIGTERM, and one may just be starting. A step's own daemon that found no
        # controller when its tasks had ended would try again after a minute.
        own = self.nodes if by_force else ()
        self.end_processes(
            lambda env: "SLURM_STEP_ID" in env or env.get("MOCO_HARNESS_DAEMON") in own
        )
        return False

    # What jobs and nodes do.

    def submit(self, command: str, *options: str) -> str:
        """The job of a shell command, which itself runs once, on the first of the nodes."""
        fixed = ("--parsable", "--output=/dev/null")
        return self.client("sbatch", *fixed, *options, f"--wrap={command}")

    def state(self, job: str) -> str:
        """SLURM's word for a job or an array's element ("12_3")."""
        return self.client("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T")

    def wait(self, job: str, *states: str, seconds: float = 60) -> None:
        """Wait for a job to be in one of the states."""
        self.until(lambda: self.state(job) in states, seconds, f"job {job} is {'/'.join(states)}")

    def node_of(self, job: str) -> str:
        """The node, or nodes, of a job that runs."""
        return self._show("job", job)["NodeList"]

    def restarts(self, job: str) -> int:
        """How often a job has been requeued."""
        return int(self._show("job", job)["Restarts"])

    def accounted(self, job: str) -> str:
        """The accounting's word for a job; "" if it has not heard of it. Later than `state`."""
        return self.client("sacct", "-n", "-X", "-P", "-j", job, "-o", "state")

    def node_state(self, node: str) -> str:
        """SLURM's words for a node: IDLE, MIXED+COMPLETING, DOWN+NOT_RESPONDING, ..."""
        # sinfo calls a node mixed for long after the controller's restart.
        return self._show("node", node)["State"]

    def idle(self) -> bool:
        """Whether all nodes are."""
        return all(self.node_state(node) == "IDLE" for node in self.nodes)

    # Faults.

    def preempt(self, job: str) -> None:
        """Take the job's nodes for a moment; returns when it has left them.

        The job gets the signal it asked for and GRACE_S seconds (see settings.py) to go by itself.
        It may start again some 6 s later.
        """
        taker = self.submit(
            "sleep 1", "--partition=high", "--exclusive", f"--nodelist={self.node_of(job)}"
        )
        self.wait(taker, "RUNNING", "COMPLETED")

    def requeue(self, job: str) -> None:
        """Requeue as an administrator does, without a warning to the job."""
        before = self.restarts(job)
        self.client("scontrol", "requeue", job)
        self.until(lambda: self.restarts(job) > before, 60, f"job {job} is requeued")

    def kill_rank(self, job: str, rank: int) -> None:
        """SIGKILL for one task (of all steps that srun started), as of want of memory."""
        number = self._show("job", job)["JobId"]  # an array's element has one of its own
        wanted = {"SLURM_JOB_ID": number, "SLURM_PROCID": str(rank)}
        killed = self.end_processes(  # the batch script calls itself rank 0 too, but has no step
            lambda env: wanted.items() <= env.items() and "SLURM_STEP_ID" in env
        )
        assert killed, f"job {job} has no task {rank}"

    def stop_node(self, node: str, *, told: bool = True) -> None:
        """Cut a node's power; it is down at once, not when SLURM misses it (half a minute).

        Args:
            told: SLURM is told; else it finds out by itself.
        """
        self.stop_daemon(node, signal.SIGKILL)
        marks = ("MOCO_HARNESS_DAEMON", "SLURMD_NODENAME")
        self.end_processes(lambda env: node in map(env.get, marks))
        if told:
            self.client("scontrol", "update", f"nodename={node}", "state=down", "reason=power")

    @contextlib.contextmanager
    def frozen(self, node: str) -> Iterator[None]:
        """While a node does not answer; jobs there go on, and one that ends is COMPLETING."""
        os.kill(self._pids[node], signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._pids[node], signal.SIGCONT)

    def start_node(self, node: str) -> None:
        """Bring a node back that was stopped, or that SLURM has taken out of service."""
        self.start_daemon(node)
        self.until(lambda: self._serves(node), 30, f"{node} is back")

    def _serves(self, node: str) -> bool:
        assert self.alive(node), f"{node} has ended:\n{self.log(node)}"
        state = self.node_state(node)
        if "DRAIN" in state or state.startswith(("DOWN", "FAIL")):
            # Refused if slurmd has registered in the meantime, which is as good.
            self._works("scontrol", "update", f"nodename={node}", "state=resume")
            return False
        return not state.startswith("UNKNOWN")  # to a new controller, until the node has told

    @contextlib.contextmanager
    def no_controller(self) -> Iterator[None]:
        """While squeue and sbatch fail, jobs go on, and sacct answers with what it knew.

        A job that ends meanwhile is COMPLETING for up to a minute afterwards.
        """
        self.stop_daemon("slurmctld")
        yield
        self.start_daemon("slurmctld")
        for node in self.nodes:
            self.start_node(node)

    def restart_controller(self) -> None:
        """As for an update."""
        with self.no_controller():
            pass

    @contextlib.contextmanager
    def no_accounting(self) -> Iterator[None]:
        """While sacct fails."""
        self.stop_daemon("slurmdbd")
        yield
        self.start_daemon("slurmdbd")

    def _show(self, kind: str, name: str) -> dict[str, str]:
        words = self.client("scontrol", "-o", "show", kind, name).split()
        return dict(word.split("=", 1) for word in words if "=" in word)
