"""Limits of the user's account and qos for the site's jobs, from sacctmgr.

If several set a limit, the first in this order applies: the partition's qos, the job's qos, the
account.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.doctor.finding import Finding, ok, problem, warning
from harness.launch.slurm.clients import ClientOutput, ask
from harness.launch.slurm.site import SlurmSite
from harness.store import submission

ENFORCED = {"limits", "safe", "all"}
"""Values of AccountingStorageEnforce with which limits are enforced."""
LEAST = 4
"""Jobs of the smallest run: pre-training, kNN, linear probe, report."""

_OF_ACCOUNT = {
    "submit": "maxsubmitjobs", "jobs": "maxjobs", "wall": "maxwall", "job": "maxtresperjob",
    "node": "maxtrespernode", "all_submit": "grpsubmitjobs", "all_jobs": "grpjobs",
    "all": "grptres",
}  # fmt: skip
_OF_QOS = {
    **_OF_ACCOUNT, "submit": "maxsubmitjobsperuser", "jobs": "maxjobsperuser",
    "user": "maxtresperuser",
}  # fmt: skip


@dataclass(frozen=True)
class Limit:
    """A limit that applies."""

    value: str
    of: str
    """What sets it, in words."""


def findings(
    own: SlurmSite, partition: Mapping[str, str], config: Mapping[str, str]
) -> Iterator[Finding]:
    """Findings about requests of one job, or of many, that exceed a limit."""
    words = set(config.get("AccountingStorageEnforce", "").lower().split(","))
    if not words & ENFORCED:
        return
    limits = _limits(own, partition.get("QoS", "N/A"))
    if isinstance(limits, str):
        yield warning("limits", f"of your account and qos: sacctmgr does not answer ({limits})")
        return
    found = [*_numbers(own, limits), *_wall(own, limits), *_sizes(own, limits)]
    if not any(each.about == "limits" for each in found):
        found.insert(0, ok("limits", "your account and qos allow what the site asks for"))
    yield from found


def _limits(own: SlurmSite, partition_qos: str) -> dict[str, Limit] | str:
    """The limits by our names for them; or why they are unknown."""
    user = submission.user()
    account = own.account
    if account is None:
        said = _ask("user", user, ["defaultaccount"])
        account = next(iter(said.lines), "")
    shown = ["account", "partition", "defaultqos", *_OF_ACCOUNT.values()]
    said = _ask("assoc", f"user={user}", shown)
    if said.error:
        return said.error
    rows = [dict(zip(shown, line.split("|"), strict=False)) for line in said.lines]
    rows = [row for row in rows if row["account"] == account]
    rows.sort(key=lambda row: row.get("partition") != own.partition)
    row = next((r for r in rows if r.get("partition", "") in ("", own.partition)), {})
    shown = ["name", *_OF_QOS.values()]
    said = _ask("qos", "", shown)
    if said.error:
        return said.error
    by_name = {line.split("|")[0]: line.split("|") for line in said.lines}
    job_qos = own.qos or row.get("defaultqos") or "normal"
    found: dict[str, Limit] = {}
    for qos in (partition_qos, job_qos):
        values = dict(zip(shown, by_name.get(qos, []), strict=False))
        for name, column in _OF_QOS.items():
            if value := values.get(column):
                found.setdefault(name, Limit(value, f"qos {qos}"))
    for name, column in _OF_ACCOUNT.items():
        if value := row.get(column):
            found.setdefault(name, Limit(value, f"account {account}"))
    return found


def _ask(what: str, which: str, shown: list[str]) -> ClientOutput:
    words = ("sacctmgr", "--noheader", "--parsable2", "show", what)
    return ask(*words, *filter(None, [which]), f"format={','.join(shown)}")


def _numbers(own: SlurmSite, limits: Mapping[str, Limit]) -> Iterator[Finding]:
    """Whether the number of jobs is limited."""
    for name, whose in (("submit", "you"), ("all_submit", "all users of your account together")):
        most = _number(limits.get(name))
        if most is None or most >= own.max_array:
            continue
        says = f"{limits[name].of} allows {whose} {most} jobs in the queue"
        if most < LEAST:
            yield problem(
                "limits",
                f"{says}, but one run has {LEAST}: ask your administrators for more, or for "
                "another qos",
            )
        else:
            yield warning(
                "limits",
                f"{says}, and each stage of an ablation is one job: SLURM refuses more. Lower "
                f"slurm.max_array from {own.max_array} to at most {most}, and run again when jobs "
                "have ended, to submit the rest",
            )
    for name, whose in (("jobs", "your jobs"), ("all_jobs", "your account's jobs")):
        most = _number(limits.get(name))
        if most == 0:
            yield problem("limits", f"{limits[name].of} allows none of {whose} to run")


def _wall(own: SlurmSite, limits: Mapping[str, Limit]) -> Iterator[Finding]:
    limit = limits.get("wall")
    most = hours(limit.value) if limit is not None else None
    for kind, asked in own.hours.model_dump().items():
        if limit is not None and most is not None and asked > most + 1e-9:
            yield problem(
                "limits",
                f"slurm.hours.{kind} is {asked:g} h, but {limit.of} allows {most:g} h: lower it; "
                "a stage resumes when its job is requeued",
            )


def _sizes(own: SlurmSite, limits: Mapping[str, Limit]) -> Iterator[Finding]:
    """Compare one job's requests with the limits for a job, a node, a user, and all users."""
    node = {
        "cpu": own.processes * own.cpus_per_process,
        "gres/gpu": own.gpus_per_node,
        "mem": 1024 * (own.mem_gb or 0),
        "node": 1,
    }
    job = {name: own.nodes * value for name, value in node.items()}
    fields = {
        "cpu": "slurm.cpus_per_process", "gres/gpu": "slurm.gpus_per_node", "mem": "slurm.mem_gb",
        "node": "slurm.nodes",
    }  # fmt: skip
    for name, asked, what in (
        ("job", job, "a job"),
        ("node", node, "a node's share of a job"),
        ("user", job, "all your jobs together"),
        ("all", job, "all jobs of your account"),
    ):
        limit = limits.get(name)
        for part in limit.value.split(",") if limit is not None else ():
            of, _, value = part.partition("=")
            most = _mebibytes(value) if of == "mem" else _plain(value)
            if limit is not None and most is not None and asked.get(of, 0) > most:
                unit = "MB " if of == "mem" else ""
                yield problem(
                    "limits",
                    f"a stage's job asks for {asked[of]:g} {unit}{of}, but {limit.of} allows "
                    f"{what} {most:g}: lower {fields[of]}",
                )


def _number(limit: Limit | None) -> int | None:
    return int(limit.value) if limit is not None and limit.value.isdecimal() else None


def _plain(value: str) -> float | None:
    return float(value) if value.isdecimal() else None


def _mebibytes(value: str) -> float | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([MGTP]?)", value)
    return (
        None if found is None else float(found[1]) * 1024 ** " MGTP".index(found[2] or "M") / 1024
    )


def hours(text: str) -> float | None:
    """SLURM's time limit in hours, 36.5 for 1-12:30:00; None: there is no limit."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if found is None:
        return None
    days, hour, minute, second = (int(part or 0) for part in found.groups())
    return 24 * days + hour + minute / 60 + second / 3600
