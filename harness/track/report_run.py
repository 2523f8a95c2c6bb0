"""A report's mirror in a tracker: a run of its own, made from the files in the report's folder.

It shows the table and the runs behind it, keeps the page as an artifact, names the results that the
report was made from, and warns of cells that are not above the untrained network. A report that
changed is sent again, into the same run.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.errors import StoreError
from harness.redact import places_in
from harness.spec.registry import metrics
from harness.store import atomic
from harness.store.layout import StageFolder, is_name, refuse_link
from harness.store.version import refuse_newer
from harness.temporary import temporary_folder
from harness.track import lineage
from harness.track.alerts import TITLE
from harness.track.bounded import Beat
from harness.track.feed import Feed
from harness.track.mirror_state import Lock, safe_id, safe_name
from harness.track.protocol import (
    Artifact,
    Metadata,
    TrackedRun,
    TrackedTable,
    TrackerError,
    extras,
    removes_earlier,
)

FOLDER = "reports"
"""In the run root."""
RECORDS = ("results.json", "table.csv", "runs.csv", "report.html")
"""What a report's mirror is made from."""
SHOWN = (".html", ".md", ".csv", ".json", ".svg", ".png", ".tex")
LARGEST = 32 << 20
"""Bytes of a file that is uploaded; a larger one is only named."""
SCHEMA = 1

Standing = Literal["already", "complete", "busy", "failed"]
Say = Callable[[str], object]


@dataclass
class _State:
    """The content of KIND.json in the report's folder.

    Attributes:
        online, offline: digest of what was mirrored last; "" if nothing was.
        alerts: those that were given, each after its mode.
    """

    id: str
    project: str
    url: str = ""
    online: str = ""
    offline: str = ""
    alerts: list[str] = field(default_factory=list)


def names(runs: Path) -> list[str]:
    """The reports in the run root whose mirror can be made."""
    return sorted(path.parent.name for path in (runs / FOLDER).glob("*/results.json"))


class ReportMirror:
    """Mirrors one report: call `advance` once. It never raises.

    Attributes:
        standing: already (nothing is new), complete, busy (another process mirrors it), or failed.
    """

    def __init__(
        self,
        runs: Path,
        name: str,
        feed: Feed,
        *,
        beat: Beat = lambda: None,
        fall_back: bool = True,
        say: Say = lambda _: None,
    ) -> None:
        self.standing: Standing = "failed"
        self.trouble = ""
        self.url = ""
        self.mode: Literal["online", "offline"] = (
            "online" if feed.access.mode == "online" else "offline"
        )
        self._runs, self._name, self._folder = runs, name, runs / FOLDER / name
        self._feed, self._beat, self._fall_back, self._say = feed, beat, fall_back, say
        self._file = self._folder / f"{feed.tracker.kind}.json"

    def advance(self) -> None:
        """Mirror the report unless it is mirrored as it is now."""
        lock = Lock(self._folder / f"{self._feed.tracker.kind}.lock")
        try:
            for place in (self._folder.parent, self._folder):
                refuse_link(place)
            if not lock.acquire():
                self.standing = "busy"
                return
            self._advance()
        except Exception as error:  # from a tracker or a damaged file
            known = isinstance(error, StoreError | TrackerError | OSError)
            why = str(error) if known else f"{type(error).__name__}: {error}"
            self.standing, self.trouble = "failed", self._feed.access.redact(why)
        finally:
            lock.release()

    def _advance(self) -> None:
        files = {name: _content(self._folder / name) for name in RECORDS}
        digest = hashlib.sha256(b"".join(files.values())).hexdigest()[:16]
        state = self._state()
        self.url = state.url
        if digest in (state.online, state.offline if self.mode == "offline" else ""):
            self.standing = "already"
            return
        results = atomic.json_object(files["results.json"])
        table, of_runs = _rows(files["table.csv"]), _rows(files["runs.csv"])
        run = self._open(state, results)
        try:
            self._fill(run, results, table, of_runs)
            replaces = self.mode == "offline" and removes_earlier(run)
            for title, text in not_above(results):
                if (given := f"{self.mode}: {title}") not in state.alerts:
                    state.alerts.append(given)
                elif not replaces:  # else those of the one before go with it
                    continue
                extras(run).alert(title, text)
        finally:
            self._beat()
            run.close(done=True)
        setattr(state, self.mode, digest)
        state.url = self.url = run.url or state.url
        atomic.write_json(self._file, {"schema": SCHEMA, **asdict(state)})
        extras(run).remove_earlier()
        self.standing = "complete"

    def _state(self) -> _State:
        found: Any = atomic.read_json(self._file)
        if found is None:
            salt, project = secrets.token_hex(3), self._feed.access.project
            made = _State(safe_id(f"report-{self._name}", salt), project)
            atomic.write_json(self._file, {"schema": SCHEMA, **asdict(made)})
            return made
        try:
            refuse_newer(found, SCHEMA, self._file)
            alerts = list(map(str, found["alerts"]))
            plain = {k: str(v) for k, v in found.items() if k not in ("schema", "alerts")}
            return _State(**plain, alerts=alerts)
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{self._file}: damaged; remove it to mirror the report anew"
            ) from error

    def _open(self, state: _State, results: Mapping[str, Any]) -> TrackedRun:
        try:
            return self._feed.open(self._described(state, results))
        except TrackerError as error:
            if self.mode == "offline" or not self._fall_back:
                raise
            self._say(f"{FOLDER}/{self._name}: mirrored offline ({error}); `sync` uploads it")
            self.mode = "offline"
            return self._feed.open(self._described(state, results))

    def _described(self, state: _State, results: Mapping[str, Any]) -> Metadata:
        kept = ("name", "title", "metric", "seeds", "margin", "unit", "scale", "basis", "commits")
        return Metadata(
            id=state.id,
            name=self._name[:128],
            group=self._name[:128],
            job_type="report",
            project=state.project,
            folder=self._folder,
            mode=self.mode,
            config={key: results[key] for key in kept if key in results},
            tags=("report",),
            runs=self._runs,
        )

    def _fill(
        self,
        run: TrackedRun,
        results: Mapping[str, Any],
        table: list[dict[str, str]],
        of_runs: list[dict[str, str]],
    ) -> None:
        more = extras(run)
        more.table("table", tracked(table))
        places = _places(of_runs, results, _hosts(self._runs, of_runs))
        more.table("runs", tracked([_row(row, places) for row in of_runs]))
        for stage_id in dict.fromkeys(row.get("stage", "") for row in of_runs):
            folder = StageFolder(self._runs / stage_id) if is_name(stage_id) else None
            if folder is not None and (source := lineage.made_or_none(folder)) is not None:
                more.artifact(source, made=False)
                self._beat()
        with temporary_folder() as copies:  # the tracker takes a copy of its own
            more.artifact(self._page(places, copies), made=True)
        run.summarise(dict(means(results)), ())

    def _page(self, places: Mapping[str, str], copies: Path) -> Artifact:
        """The report's files as an artifact, without hosts, users and absolute paths.

        Args:
            places: see `_places`.
            copies: folder for the files that name them.
        """
        files, references = {}, {}
        for path in sorted(self._folder.iterdir()):
            if path.suffix not in SHOWN or path.is_symlink() or path.name == self._file.name:
                continue
            if path.stat().st_size <= LARGEST:
                files[path.name] = _without(places, path, copies)
            else:
                with atomic.opened(path) as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
                references[path.name] = lineage.address(FOLDER, self._name, path.name, digest)
        return Artifact(safe_name(f"report-{self._name}"), "report", files, references)


def _content(path: Path) -> bytes:
    try:
        return atomic.content(path)
    except OSError as error:
        raise atomic.unread(error, path) from error


def _hosts(runs: Path, rows: Iterable[Mapping[str, str]]) -> set[str]:
    """The names of the machines that the report's stages ran on."""
    found = set()
    for stage_id in dict.fromkeys(row.get("stage", "") for row in rows):
        for attempt in StageFolder(runs / stage_id).attempts() if is_name(stage_id) else ():
            said = atomic.json_object(_content_or_none(attempt / "attempt.json")).get("machine")
            if isinstance(said, dict) and isinstance(said.get("host"), str) and said["host"]:
                found.add(said["host"])
    return found


def _places(
    rows: Iterable[Mapping[str, str]], results: Mapping[str, Any], hosts: Collection[str]
) -> dict[str, str]:
    """What the report says of hosts, users and absolute paths -> what is uploaded in its place.

    Args:
        rows: of the report's runs, each with the detail of its state.
        hosts: the names of the machines that the stages ran on.
    """
    found = {f"{host}, ": "" for host in hosts}
    warned = results.get("warnings")
    for said in (
        *(row.get("detail") or "" for row in rows),
        *map(str, warned if isinstance(warned, list) else ()),
    ):
        found |= places_in(said)
        found |= dict.fromkeys(_OWNED.findall(said), "belongs to another user")
        found |= dict.fromkeys(_HELD.findall(said), "another process")
    return found


_OWNED = re.compile(r"belongs to [^,;]+, uid \d+")
_HELD = re.compile(r"process \d+ on [\w.-]+")


def _row(row: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    return {k: _cleared(v, places) if isinstance(v, str) else v for k, v in row.items()}


def _cleared(text: str, places: Mapping[str, str]) -> str:
    """Characters may have a backslash before them, as in Markdown and LaTeX."""
    for place, new in sorted(places.items(), key=lambda each: -len(each[0])):
        form = "".join(rf"\\?{re.escape(letter)}" for letter in place)
        before = "" if place.startswith("~") else r"(?<![\w./-])"
        after = "" if place.endswith((" ", "/")) else r"(?![\w/-])"
        text = re.sub(f"{before}{form}{after}", new, text)
    return text


def _without(places: Mapping[str, str], path: Path, copies: Path) -> Path:
    """The file; a copy of it, if it names a place."""
    if not places or path.suffix == ".png":
        return path
    text = _content(path).decode(errors="surrogateescape")
    cleared = _cleared(text, places)
    if cleared == text:
        return path
    copy = copies / path.name
    copy.write_bytes(cleared.encode(errors="surrogateescape"))
    return copy


def _content_or_none(path: Path) -> bytes | None:
    try:
        return atomic.content(path)
    except OSError:
        return None


def _rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(errors="replace"))))


def tracked(rows: list[dict[str, str]]) -> TrackedTable:
    """Rows of a CSV file as a table: a column whose texts are all numbers holds numbers, unless it
    holds names (a hash may consist of digits)."""
    columns = tuple(rows[0]) if rows else ()
    numbers = {name for name in columns if all(_is_number(row[name]) for row in rows)} - NAMES
    made = (tuple(_value(row[name], number=name in numbers) for name in columns) for row in rows)
    return TrackedTable(columns, tuple(made))


NAMES = frozenset(("cell", "commit", "data", "edition", "label", "stage", "weights"))
"""Columns that hold names, even if all of these are digits."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,3})?")


def _is_number(text: str | None) -> bool:
    return not text or (_NUMBER.fullmatch(text) is not None and abs(float(text)) < 1e300)


def _value(text: str | None, *, number: bool) -> str | float | None:
    if not text:
        return None
    return float(text) if number else text


def _measured(results: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(cell, metric, what the report says of it)."""
    for cell in results.get("cells", []):
        for metric, said in cell.get("metrics", {}).items():
            yield str(cell.get("id")), str(metric), said


def means(results: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """("CELL/METRIC", mean over seeds) of every cell with a result."""
    for cell, metric, said in _measured(results):
        mean = (said.get("summary") or {}).get("mean")
        if isinstance(mean, int | float):
            yield f"{cell}/{metric}", float(mean)


def not_above(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(title, text) for each cell whose mean is not above the untrained network's."""
    from harness.recipe.claims import CONTROL

    for cell, metric, said in _measured(results):
        mean = (said.get("to_untrained") or {}).get("mean")
        declared = metrics().get(metric)
        if cell == CONTROL or declared is None or declared.better != "higher":
            continue
        if isinstance(mean, int | float) and mean <= 0:
            words = f"{metric}: {mean:+.2f} {declared.unit} to the untrained network"
            yield f"{cell}: {metric} not above untrained"[:TITLE], f"{cell}: {words}"
