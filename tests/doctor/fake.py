"""A cluster of fake clients: what scontrol, sinfo and the others say is the test's to write."""

from __future__ import annotations

from pathlib import Path

CONFIG = {
    "AccountingStorageEnforce": "none",
    "JobRequeue": "1",
    "MaxArraySize": "1001",
    "PreemptMode": "REQUEUE",
    "PreemptType": "preempt/partition_prio",
    "SlurmctldParameters": "preempt_send_user_signal",
}
PARTITION = {
    "PartitionName": "gpu",
    "Default": "YES",
    "State": "UP",
    "MaxTime": "1-00:00:00",
    "MaxNodes": "UNLIMITED",
    "PreemptMode": "REQUEUE",
    "GraceTime": "60",
}
NODES = "n1|64|512000|gpu:a100:8(S:0-1)|big,ib|idle\nn2|64|512000|gpu:a100:8(S:0-1)|big|mixed\n"


class Clients:
    """Scripts in a folder that is the only one on PATH."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder
        self.says("sbatch")
        self.says("scancel")
        self.says("squeue")
        self.says("sacct")
        self.says("sinfo", NODES)
        self.scontrol()
        self.sacctmgr("vision\n", "normal\nlow\n")

    def says(self, client: str, out: str = "", *, error: str = "") -> None:
        """`client` prints this, or fails with the error."""
        body = f"echo '{error}' >&2\nexit 1\n" if error else _print(out)
        self._write(client, body)

    def scontrol(self, partition: str = "", /, **config: str) -> None:
        """scontrol with a partition of these lines (else PARTITION), and a changed CONFIG."""
        shown = "".join(f"{name} = {value}\n" for name, value in {**CONFIG, **config}.items())
        self._either("scontrol", "config", shown, partition or line())

    def sacctmgr(self, accounts: str, qos: str) -> None:
        self._either("sacctmgr", "assoc", accounts, qos)

    def sacctmgr_says(self, tables: dict[str, list[list[str]]]) -> None:
        """sacctmgr with the rows of each table."""
        cases = "".join(
            f"*'show {name}'*)\n{_print(chr(10).join('|'.join(row) for row in rows))};;\n"
            for name, rows in tables.items()
        )
        self._write("sacctmgr", f'case "$*" in\n{cases}esac\n')

    def without(self, client: str) -> None:
        (self.bin / client).unlink()

    def _either(self, client: str, word: str, first: str, second: str) -> None:
        self._write(
            client, f'case "$*" in\n*{word}*)\n{_print(first)};;\n*)\n{_print(second)};;\nesac\n'
        )

    def _write(self, client: str, body: str) -> None:
        path = self.bin / client
        path.write_text(f"#!/bin/sh\n{body}")
        path.chmod(0o755)


def line(**other: str) -> str:
    """scontrol's line for PARTITION with some things otherwise."""
    return " ".join(f"{name}={value}" for name, value in {**PARTITION, **other}.items()) + "\n"


def _print(text: str) -> str:
    return "".join(f"echo '{each}'\n" for each in text.splitlines()) or ":\n"
