"""Update trackers from the journals: what `moco-harness sync` does."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from harness.errors import HarnessError, StoreError
from harness.spec.registry import trackers
from harness.store.layout import StageFolder, stage_folder
from harness.store.ledger import everything
from harness.track import mirror_state, report_run
from harness.track.bounded import QUIET_S, Beat, watched
from harness.track.feed import Feed, access
from harness.track.mirror import Say, StageMirror
from harness.track.protocol import TrackerError

State = Literal["already", "uploaded", "partly", "nothing", "busy", "waiting", "failed"]
MACHINES, ALL = "use of machines", "every stage"
"""What an outcome is of that is of no stage."""
MESSAGES = 3
"""Different messages of a group that are told."""


@dataclass(frozen=True)
class SyncOutcome:
    """What `sync` did with a stage, or a report, and a tracker.

    Attributes:
        stage_id: the stage's id, "reports/NAME", MACHINES, or ALL of a tracker.
        tracker: its kind.
        state: already (was complete online), uploaded (now complete), partly (up to the newest
            checkpoint of an unfinished stage), nothing (nothing to upload yet), busy (another
            process mirrors it), waiting (the tracker is not online), or failed.
        rows: rows added to the run's history.
    """

    stage_id: str
    tracker: str
    state: State
    rows: int = 0
    url: str = ""
    message: str = ""


def sync(
    runs: Path,
    stage_ids: Iterable[str] | None = None,
    say: Say = print,
    *,
    feeds: Sequence[Feed] | None = None,
    quiet_s: float = QUIET_S,
) -> list[SyncOutcome]:
    """Update the stages (None: all under `runs`) online. Calling it again adds nothing.

    Args:
        feeds: the trackers; None: all that are declared.
        quiet_s: seconds without a heartbeat after which a tracker is abandoned.

    Raises:
        HarnessError: the environment asks something impossible of a tracker; the others are done.
    """
    if stage_ids is None:
        groups = {each.folder.id: _group(each.described) for each in everything(runs)}
        reports = report_run.names(runs)
        if not groups and not reports:
            say(f"no runs under {runs}")
    else:
        groups, reports = (
            {id_: _group(_described(stage_folder(runs, id_))) for id_ in stage_ids},
            [],
        )
    work = _Work(runs, groups, reports)
    outcomes: list[SyncOutcome] = []
    refused: HarnessError | None = None
    for feed in _declared(say) if feeds is None else feeds:
        if isinstance(feed, HarnessError):
            refused = refused or feed
        elif isinstance(feed, SyncOutcome):
            outcomes.append(feed)
        else:
            outcomes += _sync_all(work, feed, say, quiet_s)
    if refused is not None:
        raise refused
    return outcomes


def _declared(say: Say) -> Iterator[Feed | HarnessError | SyncOutcome]:
    """The trackers; the outcome of one that cannot be asked."""
    for tracker in trackers().values():
        try:
            yield Feed(tracker, access(tracker))
        except HarnessError as error:
            yield error
        except TrackerError as error:
            say(f"{tracker.kind}: nothing is uploaded: {error}")
            yield SyncOutcome(ALL, tracker.kind, "failed", message=str(error))


@dataclass(frozen=True)
class _Work:
    """What is to be synced.

    Attributes:
        groups: each stage's group, by its id.
        reports: names of reports.
    """

    runs: Path
    groups: Mapping[str, str]
    reports: Sequence[str]


def _group(described: Mapping[str, Any] | None) -> str:
    found = described or {}
    return str(found.get("group") or found.get("name") or "no group")


def _described(folder: StageFolder) -> dict[str, Any] | None:
    try:
        return folder.described
    except StoreError:
        return None


def _sync_all(work: _Work, feed: Feed, say: Say, quiet_s: float) -> list[SyncOutcome]:
    """The outcomes of the stages, then of the reports; if the tracker hangs, those not done yet
    have failed. Says one line for each group in which something happened."""
    done: list[SyncOutcome] = []
    left: dict[str, list[str]] = {}
    for id_, group in work.groups.items():
        left.setdefault(group, []).append(id_)
    left |= {each: [each] for each in (f"{report_run.FOLDER}/{name}" for name in work.reports)}
    found: list[SyncOutcome] = []

    def told(group: str, outcomes: list[SyncOutcome]) -> None:
        if line := _line(group, outcomes):
            say(line)

    def run(beat: Beat) -> None:
        for group, ids in list(left.items()):
            found.clear()
            for id_ in ids:
                if id_ in work.groups:
                    found.append(_sync(stage_folder(work.runs, id_), feed, beat))
                else:
                    found.append(_sync_report(work.runs, id_.partition("/")[2], feed, beat))
                beat()
            told(group, found)
            done.extend(found)
            del left[group]
        if feed.access.mode == "online":
            done.extend(_deliver(work, feed, beat, say))

    try:
        watched(run, quiet_s, feed.tracker.title)
    except TrackerError as error:
        why = feed.access.redact(str(error))
        begun = {each.stage_id: each for each in found}
        for group, ids in left.items():
            failed = partial(SyncOutcome, tracker=feed.tracker.kind, state="failed", message=why)
            outcomes = [begun.get(id_) or failed(id_) for id_ in ids]
            told(group, outcomes)
            done.extend(outcomes)
        if not left:
            say(f"{MACHINES}: {feed.tracker.kind}: failed: {why}")
            done.append(SyncOutcome(MACHINES, feed.tracker.kind, "failed", message=why))
    return done


def _line(group: str, outcomes: Sequence[SyncOutcome]) -> str:
    """What happened in a group, in one line; "" if everything was there already."""
    new = [each for each in outcomes if each.state != "already"]
    if not new:
        return ""
    counts = Counter(each.state for each in new)
    stages = ", ".join(f"{number} {state}" for state, number in counts.items())
    rows = sum(each.rows for each in new)
    messages: dict[str, list[str]] = {}
    for each in filter(lambda each: each.message, new):
        messages.setdefault(each.message, []).append(each.stage_id)
    said = [
        message if len(ids) == len(outcomes) > 1 else f"{message} ({_some(ids)})"
        for message, ids in messages.items()
    ]
    more = [f"and {len(said) - MESSAGES} more"] if len(said) > MESSAGES else []
    url = next((each.url for each in new if each.url), "")
    detail = " · ".join(filter(None, (*said[:MESSAGES], *more, url)))
    line = f"{group}: {new[0].tracker}: {stages}, {rows:,} rows"
    return f"{line}: {detail}" if detail else line


def _some(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1} more"


def _deliver(work: _Work, feed: Feed, beat: Beat, say: Say) -> Iterator[SyncOutcome]:
    """Upload what no journal has. A failure is told, and yields an outcome; the next `sync` tries
    again."""
    kind = feed.tracker.kind
    ids = set()
    for id_ in work.groups:
        with contextlib.suppress(StoreError):
            state = mirror_state.stored_state(stage_folder(work.runs, id_), kind)
            if state is not None and state.online.complete:
                ids.add(state.id)
    deliver = getattr(feed.opened(), "deliver", None) if ids else None
    if deliver is None:
        return
    try:
        if number := deliver(work.runs, ids, beat):
            say(f"{MACHINES}: {kind}: {number} uploaded")
    except TrackerError as error:
        why = feed.access.redact(str(error))
        say(f"{MACHINES}: {kind}: failed: {why}")
        yield SyncOutcome(MACHINES, kind, "failed", message=why)


def _sync_report(runs: Path, name: str, feed: Feed, beat: Beat) -> SyncOutcome:
    outcome = partial(SyncOutcome, f"{report_run.FOLDER}/{name}", feed.tracker.kind)
    if feed.access.mode != "online":
        why = feed.access.why or f"{feed.tracker.title} is {feed.access.mode}"
        return outcome("waiting", message=f"{why}; the run root has everything")
    mirror = report_run.ReportMirror(runs, name, feed, beat=beat, fall_back=False)
    mirror.advance()
    if mirror.standing == "failed":
        return outcome("failed", message=mirror.trouble)
    if mirror.standing == "busy":
        return outcome("busy", message="another process is uploading it now")
    state: State = "uploaded" if mirror.standing == "complete" else "already"
    return outcome(state, url=mirror.url)


def _sync(folder: StageFolder, feed: Feed, beat: Beat) -> SyncOutcome:
    outcome = partial(SyncOutcome, folder.id, feed.tracker.kind)
    offline = feed.access.mode != "online"
    try:
        folder.refuse_links()
        found = mirror_state.stored_state(folder, feed.tracker.kind)
        if folder.described is None:
            return outcome("failed", message="no such stage; `status` lists all")
    except StoreError as error:
        return outcome("waiting" if offline else "failed", message=str(error))
    if found is not None and found.online.complete:
        return outcome("already", url=found.url)
    if offline:
        why = feed.access.why or f"{feed.tracker.title} is {feed.access.mode}"
        return outcome("waiting", message=f"{why}; the journal has everything")
    mirror = StageMirror(folder, feed, lambda _: None, beat=beat, fall_back=False)
    mirror.advance()
    mirror.close()
    if mirror.standing == "failed":
        return outcome("failed", mirror.added, mirror.url, mirror.trouble)
    if mirror.standing == "complete":
        return outcome("uploaded", mirror.added, mirror.url)
    if mirror.standing == "busy":
        if found is not None and found.mode == "offline":
            said = "its run mirrors it offline; call sync again when the run has ended"
        else:
            said = "another process is uploading it now"
        return outcome("busy", message=said)
    return outcome("partly" if mirror.begun else "nothing", mirror.added, mirror.url)
