"""What the daemons of a test cluster are told: their configuration files and command lines.

All paths lie in the cluster's folder, all ports in its block. Written for SLURM 22.05.
"""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

GRACE_S = 10
"""Seconds that a preempted job has between the warning and its end."""


@dataclass(frozen=True)
class Settings:
    """One cluster.

    Attributes:
        folder: all it writes; short, as the path of a socket has at most 107 bytes.
        port: the first of its ports: database, accounting, controller, then the nodes.
        nodes: names of the nodes; addresses of the loopback network, as tasks of a job find each
            other by their nodes' names, and these resolve without any change to the machine.
    """

    folder: Path
    port: int
    name: str
    nodes: tuple[str, ...]
    cpus: int
    memory_mb: int
    gpus: int

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    @property
    def munge(self) -> Path:
        """munge's socket."""
        return self.folder / "munge.sock"

    def write(self) -> None:
        """All files and folders that the daemons expect."""
        for name in ("log", "ctld", "db", "tmp", "dev", *(f"spool/{node}" for node in self.nodes)):
            (self.folder / name).mkdir(parents=True)
        for gpu in range(self.gpus):  # any character device passes for a GPU
            (self.folder / "dev" / f"gpu{gpu}").symlink_to("/dev/null")
        self._private("munge.key", secrets.token_bytes(1024))
        self._private("slurmdbd.conf", self._slurmdbd().encode())
        self._private("init.sql", _SQL.encode())
        self.conf.write_text(self._slurm())
        # slurmd asks for control groups though it uses none; version 1 does not mind their absence.
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        gres = f"Name=gpu File={self.folder}/dev/gpu[0-{self.gpus - 1}]\n" if self.gpus else ""
        (self.folder / "gres.conf").write_text(gres)

    def _private(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)

    def _slurmdbd(self) -> str:
        return f"""\
AuthType=auth/munge
AuthInfo=socket={self.munge}
DbdHost={_host()}
DbdAddr={_address()}
DbdPort={self.port + 1}
CommunicationParameters=NoInAddrAny
SlurmUser=root
PidFile={self.folder}/slurmdbd.pid
LogFile={self.folder}/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={self.port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""

    def _slurm(self) -> str:
        gres = f"Gres=gpu:{self.gpus} " if self.gpus else ""
        nodes = "".join(
            f"NodeName={node} NodeHostname={_host()} NodeAddr={_address()} "
            f"Port={self.port + 3 + i} CPUs={self.cpus} RealMemory={self.memory_mb} {gres}\n"
            for i, node in enumerate(self.nodes)
        )
        return f"""\
ClusterName={self.name}
# A number seen before would find the results of an earlier cluster's job in a reused folder, and
# two clusters with the same numbers would use the same ports for their jobs' rendezvous.
FirstJobId={secrets.randbelow(60_000_000) + 1}
SlurmctldHost={_host()}({_address()})
SlurmctldPort={self.port + 2}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its old credential has expired: 120 s unless told.
AuthInfo=socket={self.munge},cred_expire=5
StateSaveLocation={self.folder}/ctld
SlurmdSpoolDir={self.folder}/spool/%n
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd-%n.pid
SlurmctldLogFile={self.folder}/log/slurmctld.log
SlurmdLogFile={self.folder}/log/%n.log
MailProg=/bin/true

# The machine stays as it is: no cgroups, no affinity, and nodes larger than it are believed.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2

# Without the parameter and a grace a preempted job gets SIGTERM, but not the signal it asked for.
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,bf_continue
PriorityType=priority/basic

# Impatient, but for steps that end while the controller is away: they tell it each 60 s.
KillWait=2
MessageTimeout=10
TCPTimeout=2
SlurmdTimeout=30
SlurmctldTimeout=10
UnkillableStepTimeout=180
InactiveLimit=0
WaitTime=0
CompleteWait=0

JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=5
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={_address()}
AccountingStoragePort={self.port + 1}
# Not a password: where clients of the accounting find munge's socket.
AccountingStoragePass={self.munge}
AccountingStorageTRES=gres/gpu

GresTypes=gpu
{nodes}
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime={GRACE_S} \
MaxTime=INFINITE DefaultTime=60 State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF \
MaxTime=INFINITE DefaultTime=60 State=UP
"""

    @property
    def made(self) -> Path:
        """There once the database has been made whole."""
        return self.folder / "made"

    def database(self) -> list[str]:
        """The command that makes the database."""
        return [
            *("sh", "-c", 'made=$1 && shift && "$@" && touch "$made"', "sh", str(self.made)),
            *("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={self.folder}/db"),
            *(self._own_tmp, "--auth-root-authentication-method=socket", "--skip-test-db"),
            *("--innodb-log-file-size=8M", "--innodb-fast-shutdown=0"),
        ]

    @property
    def _own_tmp(self) -> str:
        # A starting server removes all temporary tables of its folder, another server's too.
        return f"--tmpdir={self.folder}/tmp"

    def commands(self) -> dict[str, list[str]]:
        """The daemons' command lines, in the order in which they are to be started."""
        at = self.folder
        munged = [
            *("munged", "--foreground", f"--key-file={at}/munge.key", f"--socket={self.munge}"),
            *(f"--pid-file={at}/munged.pid", f"--log-file={at}/log/munged.log"),
            f"--seed-file={at}/munge.seed",
        ]
        mariadbd = [
            *("mariadbd", "--no-defaults", "--user=root", f"--datadir={at}/db", self._own_tmp),
            *(f"--socket={at}/mariadb.sock", f"--pid-file={at}/mariadbd.pid"),
            *("--bind-address=127.0.0.1", f"--port={self.port}", f"--init-file={at}/init.sql"),
            *("--skip-name-resolve", "--skip-log-bin", "--performance-schema=OFF"),
            *("--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M"),
            *("--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0"),
            "--innodb-doublewrite=0",
        ]
        return {
            "munged": munged,
            "mariadbd": mariadbd,
            "slurmdbd": ["slurmdbd", "-D"],
            "slurmctld": ["slurmctld", "-D"],
            **{node: ["slurmd", "-D", "-N", node] for node in self.nodes},
        }


_SQL = """\
CREATE DATABASE IF NOT EXISTS slurm;
CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm';
GRANT ALL ON slurm.* TO 'slurm'@'127.0.0.1';
"""


def _host() -> str:
    """This machine as SLURM's daemons call it: without its domain."""
    return socket.gethostname().partition(".")[0]


def _address() -> str:
    """Where SLURM's daemons listen if told not to listen everywhere: as a rule 127.0.0.1."""
    return socket.gethostbyname(socket.gethostname())
