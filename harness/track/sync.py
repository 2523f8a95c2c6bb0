"""Update trackers from the journals: what `moco-harness sync` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from harness.errors import HarnessError, StoreError
from harness.spec.registry import trackers
from harness.store.layout import StageFolder, stage_folder
from harness.store.ledger import everything
from harness.track import mirror_state
from harness.track.bounded import QUIET_S, Beat, watched
from harness.track.feed import Feed, access
from harness.track.mirror import Say, StageMirror
from harness.track.protocol import TrackerError


@dataclass(frozen=True)
class SyncOutcome:
    """What `sync` did with a stage and a tracker.

    Attributes:
        tracker: its kind.
        state: already (was complete online), uploaded (now complete), partly (up to the newest
            checkpoint of an unfinished stage), nothing (nothing to upload yet), busy (another
            process mirrors it), waiting (the tracker is not online), or failed.
        rows: rows added to the run's history.
    """

    stage_id: str
    tracker: str
    state: Literal["already", "uploaded", "partly", "nothing", "busy", "waiting", "failed"]
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
        folders = [entry.folder for entry in everything(runs)]
    else:
        folders = [stage_folder(runs, stage_id) for stage_id in stage_ids]
    outcomes: list[SyncOutcome] = []
    refused: HarnessError | None = None
    for feed in _declared(say) if feeds is None else feeds:
        if isinstance(feed, HarnessError):
            refused = refused or feed
        else:
            outcomes += _sync_all(folders, feed, say, quiet_s)
    if refused is not None:
        raise refused
    return outcomes


def _declared(say: Say) -> Iterator[Feed | HarnessError]:
    for tracker in trackers().values():
        try:
            yield Feed(tracker, access(tracker))
        except HarnessError as error:
            yield error
        except TrackerError as error:
            say(f"{tracker.kind}: nothing is uploaded: {error}")


def _sync_all(
    folders: Sequence[StageFolder], feed: Feed, say: Say, quiet_s: float
) -> list[SyncOutcome]:
    """The outcomes of the stages; if the tracker hangs, those not done yet have failed."""
    done: list[SyncOutcome] = []

    def tell(outcome: SyncOutcome) -> None:
        done.append(outcome)
        if outcome.state != "already":
            detail = " · ".join(filter(None, (outcome.message, outcome.url)))
            what = f"{outcome.tracker}: {outcome.state}, {outcome.rows} rows"
            say(f"{outcome.stage_id}: {what}{': ' if detail else ''}{detail}")

    def work(beat: Beat) -> None:
        for folder in folders:
            outcome = _sync(folder, feed, beat)
            beat()
            tell(outcome)

    try:
        watched(work, quiet_s, feed.tracker.title)
    except TrackerError as error:
        why = feed.access.redact(str(error))
        for folder in folders[len(done) :]:
            tell(SyncOutcome(folder.id, feed.tracker.kind, "failed", message=why))
    return done


def _sync(folder: StageFolder, feed: Feed, beat: Beat) -> SyncOutcome:
    outcome = partial(SyncOutcome, folder.id, feed.tracker.kind)
    try:
        folder.refuse_links()
        found = mirror_state.stored_state(folder, feed.tracker.kind)
        if folder.described is None:
            return outcome("failed", message="no such stage; `status` lists all")
    except StoreError as error:
        return outcome("failed", message=str(error))
    if found is not None and found.online.complete:
        return outcome("already", url=found.url)
    if feed.access.mode != "online":
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
        return outcome("busy", message="another process is uploading it now")
    return outcome("partly" if mirror.begun else "nothing", mirror.added, mirror.url)
