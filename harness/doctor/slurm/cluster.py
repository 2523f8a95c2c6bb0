"""Whether the site's slurm section fits the cluster, by sinfo, scontrol, sacct and sacctmgr."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from harness.doctor.finding import Finding, ok, problem, warning
from harness.doctor.slurm import limits
from harness.launch.slurm.clients import ask, pairs
from harness.launch.slurm.site import SlurmSite
from harness.recipe.suggest import closest
from harness.store import submission

NEEDED = ("sbatch", "squeue", "scontrol", "sinfo", "scancel")
OUT = ("down", "drain", "drng", "fail", "maint", "unk", "boot", "power", "inval", "future", "plan")
"""Prefixes of node states in which a node takes no job now."""


def findings(own: SlurmSite) -> Iterator[Finding]:
    """All findings that need no job."""
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent:
        yield problem(
            "SLURM",
            f"{', '.join(absent)} not on PATH: this machine cannot submit jobs; run the doctor on "
            "a login node, or remove slurm: from the site file",
        )
        return
    queue = ask("squeue", "--noheader", "--me", "--format=%i")
    if queue.error:
        yield problem("controller", f"squeue does not answer: {queue.error}")
        return
    yield ok("controller", f"answers; {len(queue.lines)} jobs of yours in the queue")
    yield _accounting()
    config = pairs(ask("scontrol", "show", "config").lines)
    partitions, found = _partitions(own)
    yield found
    yield from _associations(own, config)
    yield from _fits(own, partitions)
    yield from dict.fromkeys(
        each for partition in partitions[:1] for each in limits.findings(own, partition, config)
    )
    yield _arrays(own, config)
    yield _requeue(config)
    yield from dict.fromkeys(_preemption(config, each) for each in partitions)


def _accounting() -> Finding:
    said = ask("sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID")
    if not said.error:
        return ok("accounting", "sacct answers")
    return warning(
        "accounting",
        f"sacct does not answer ({said.error}): how a job ended is then read only from its files "
        "and the queue, and SLURM's reason may stay unknown",
    )


def _partitions(own: SlurmSite) -> tuple[list[dict[str, str]], Finding]:
    """The partitions for jobs; of several, SLURM takes the one where a job starts first."""
    said = ask("scontrol", "--oneliner", "show", "partition")
    if said.error:
        return [], warning("partition", f"scontrol does not answer ({said.error})")
    all_ = [dict(w.split("=", 1) for w in line.split() if "=" in w) for line in said.lines]
    known = {one["PartitionName"]: one for one in all_ if "PartitionName" in one}
    if own.partition is None:
        names = [name for name, one in known.items() if one.get("Default") == "YES"]
        if not names:
            return [], problem(
                "partition",
                "the cluster has no default; set slurm.partition to one of "
                f"{', '.join(known) or 'none'}",
            )
    else:
        names = own.partition.split(",")
        if absent := [name for name in names if name not in known]:
            return [], problem(
                "partition",
                f"{', '.join(absent)}: no such partition{_near(absent[0], known)}; "
                f"slurm.partition can be {', '.join(known) or 'none'}",
            )
    chosen = [known[name] for name in names]
    up = [one["PartitionName"] for one in chosen if one.get("State", "UP") == "UP"]
    down = [
        f"{one['PartitionName']} is {one['State'].lower()}"
        for one in chosen
        if one["PartitionName"] not in up
    ]
    if not up:
        return chosen, problem("partition", f"{', '.join(down)}; jobs would wait")
    says = f"{', '.join(up)} {'is' if len(up) == 1 else 'are'} up"
    if down:
        return chosen, warning("partition", f"{says}, but {', '.join(down)}")
    return chosen, ok("partition", says)


def _fits(own: SlurmSite, partitions: Sequence[Mapping[str, str]]) -> Iterator[Finding]:
    """Whether a partition has the nodes and the time; one that fits is enough."""
    each = [[_nodes(own, one), *_hours(own, one)] for one in partitions]
    enough = any(all(found.level != "problem" for found in one) for one in each)
    for found in (found for one in each for found in one):
        yield replace(found, level="warning") if enough and found.level == "problem" else found


def _associations(own: SlurmSite, config: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the account and the qos exist, if accounting answers."""
    if own.account is not None:
        enforced = "associations" in config.get("AccountingStorageEnforce", "")
        words = ("show", "assoc", f"user={submission.user()}", "format=account")
        said = ask("sacctmgr", "--noheader", "--parsable2", *words)
        if own.account in said.lines:
            yield ok("account", f"{own.account}: you may use it")
        elif said.error:
            yield warning("account", f"{own.account}: sacctmgr does not answer ({said.error})")
        else:
            yours = list(dict.fromkeys(said.lines))
            yield (problem if enforced else warning)(
                "account",
                f"{own.account}: not one of your accounts{_near(own.account, yours)}; "
                f"slurm.account can be {', '.join(yours) or 'none'}",
            )
    if own.qos is not None:
        said = ask("sacctmgr", "--noheader", "--parsable2", "show", "qos", "format=name")
        if own.qos in said.lines:
            yield ok("qos", f"{own.qos} exists")
        elif said.error:
            yield warning("qos", f"{own.qos}: sacctmgr does not answer ({said.error})")
        else:
            yield problem(
                "qos",
                f"{own.qos}: no such qos{_near(own.qos, said.lines)}; slurm.qos can be "
                f"{', '.join(said.lines)}",
            )


def _near(word: str, names: Iterable[str]) -> str:
    near = closest(word, names)
    return f", did you mean {near}?" if near is not None else ""


def _nodes(own: SlurmSite, partition: Mapping[str, str]) -> Finding:
    """Whether there are enough nodes for a stage, each with the requested resources."""
    name = partition["PartitionName"]
    said = ask("sinfo", "--noheader", "--Node", f"--partition={name}", "--format=%N|%c|%m|%G|%f|%T")
    cpus = own.processes * own.cpus_per_process
    asks = f"{cpus} CPUs ({own.processes} x cpus_per_process {own.cpus_per_process})"
    asks += f", {own.gpus_per_node} GPUs" if own.gpus_per_node else ""
    asks += f", {own.mem_gb:g} GB" if own.mem_gb else ""
    wanted = f"{own.nodes} nodes with {asks}"
    if said.error:
        return warning("nodes", f"{wanted}: sinfo does not answer ({said.error})")
    fit = up = 0
    lacking: dict[str, None] = {}
    for line in said.lines:
        parts = line.split("|")
        if len(parts) < 6:
            continue
        short = _short_of(own, cpus, parts)
        lacking |= dict.fromkeys(short)
        fit += not short
        up += not short and not parts[5].lower().startswith(OUT)
    most = partition.get("MaxNodes", "UNLIMITED")
    if most.isdecimal() and int(most) < own.nodes:
        return problem("nodes", f"{wanted}, but {name} allows a job {most}: lower slurm.nodes")
    if fit < own.nodes:
        why = f"; others have {', '.join(lacking)}" if lacking else ""
        return problem("nodes", f"{wanted}, but {name} has {fit} of them{why}: request less")
    if up < own.nodes:
        return warning("nodes", f"{wanted}: {name} has {fit}, but only {up} of them are up now")
    return ok("nodes", f"{wanted}: {name} has {fit}, {up} are up")


def _short_of(own: SlurmSite, cpus: int, parts: list[str]) -> list[str]:
    """What a node (a row of sinfo's columns) lacks, in words."""
    short = []
    if _int(parts[1]) < cpus:
        short.append(f"{_int(parts[1])} CPUs")
    if own.mem_gb and _int(parts[2]) < 1024 * own.mem_gb:
        short.append(f"{_int(parts[2]) / 1024:.1f} GB")
    if gpus(parts[3]) < own.gpus_per_node:
        short.append(f"{gpus(parts[3])} GPUs")
    plain = own.constraint is not None and re.fullmatch(r"[\w.-]+", own.constraint)
    if plain and own.constraint not in parts[4].split(","):
        short.append(f"no feature {own.constraint}")
    return short


def most_gpus() -> int:
    """The largest number of GPUs in a node of the cluster; 0 if SLURM knows of none."""
    return max(map(gpus, ask("sinfo", "--noheader", "--Node", "--format=%G").lines), default=0)


def gpus(gres: str) -> int:
    """The GPUs in sinfo's generic resources: 12 in gpu:a100:8(S:0-1),gpu:v100:4."""
    found = re.findall(r"(?:^|,)gpu(?::[^:,()]+)?:(\d+)", gres)
    return sum(int(number) for number in found)


def _int(text: str) -> int:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def _hours(own: SlurmSite, partition: Mapping[str, str]) -> Iterator[Finding]:
    most = limits.hours(partition.get("MaxTime", "UNLIMITED"))
    asked = own.hours.model_dump()
    long = [kind for kind, value in asked.items() if most is not None and value > most + 1e-9]
    if not long:
        said = "no limit" if most is None else f"limit {most:g} h"
        yield ok("time", f"at most {max(asked.values()):g} h asked; {said}")
    for kind in long:
        yield problem(
            "time",
            f"slurm.hours.{kind} is {asked[kind]:g} h, but {partition['PartitionName']} allows "
            f"{most:g} h: lower it; a stage resumes when its job is requeued",
        )


def _arrays(own: SlurmSite, config: Mapping[str, str]) -> Finding:
    tasks = re.search(r"max_array_tasks=(\d+)", config.get("SchedulerParameters", ""))
    known = {
        "MaxArraySize": config.get("MaxArraySize", ""),
        "max_array_tasks": tasks[1] if tasks else "",
        "MaxJobCount": config.get("MaxJobCount", ""),
    }
    for name, value in known.items():
        most = max(1, _int(value))  # MaxArraySize=0: no arrays
        if value[:1].isdecimal() and own.max_array > most:
            says = f"slurm.max_array is {own.max_array}, but {name} is {value}: lower it to {most}"
            return problem("arrays", says)
    size = known["MaxArraySize"] or "unknown"
    return ok("arrays", f"{own.max_array} elements; MaxArraySize {size}")


def _requeue(config: Mapping[str, str]) -> Finding:
    if config.get("JobRequeue") == "0":
        return warning(
            "requeue",
            "JobRequeue=0: each job requests it itself, which your administrators may forbid; if "
            "a preempted job does not come back, run again to resume",
        )
    return ok("requeue", "jobs may be requeued")


def _preemption(config: Mapping[str, str], partition: Mapping[str, str]) -> Finding:
    """Whether a job is warned before it is preempted."""
    mode = config.get("PreemptType", "preempt/none")
    modes = (partition.get("PreemptMode") or config.get("PreemptMode", "OFF")).split(",")
    if "SUSPEND" in modes:  # also GANG,SUSPEND
        return ok("preemption", "preempted jobs are suspended and continue by themselves")
    if mode == "preempt/none" or not {"CANCEL", "REQUEUE"} & set(modes):
        return ok("preemption", "none here; jobs are warned before their time limit")
    only = "only the periodic checkpoints (watch.checkpoint_steps) protect a run"
    if "CANCEL" in modes:
        return warning(
            "preemption", f"preempted jobs are cancelled, not requeued: {only}; run again to resume"
        )
    grace = _int(partition.get("GraceTime", "0"))
    signals = "preempt_send_user_signal" in config.get("SlurmctldParameters", "")
    if grace and signals:
        return ok("preemption", f"jobs are warned and have {grace} s for a checkpoint")
    name = partition.get("PartitionName", "the partition")
    lacks = [] if grace else [f"{name} has no GraceTime"]
    lacks += [] if signals else ["SlurmctldParameters lacks preempt_send_user_signal"]
    return warning(
        "preemption",
        f"no warning before it: {' and '.join(lacks)}. {only[0].upper()}{only[1:]}; your "
        "administrators can change it",
    )
