"""Find the commit since which nothing that decides a table has changed.

Each older commit's recipes and ablations are loaded by the present code and compared by digest
(`harness.report.preregistration.deciding`). A commit whose files the present code cannot read
counts as different, so the answer is never too early.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import harness
from harness.errors import HarnessError
from harness.recipe.ablation import Ablation, Scale
from harness.recipe.expand import expand, find_ablation
from harness.recipe.load import loaded
from harness.recipe.printed import FILE as PRINTED
from harness.recipe.references import closure
from harness.recipe.scale_file import scale_file
from harness.report.preregistration import RULE, deciding, rule_code, words
from harness.temporary import temporary_folder

NO_SETTING = ("about.", "watch.")
"""`--set` of these sections decides nothing."""


def committed(
    recipe: Path, sets: Sequence[str], wanted: str, of_runs: Iterable[str]
) -> dict[str, Any]:
    """The record of the oldest commit since which nothing that decides has changed.

    Args:
        recipe: its file.
        sets: the `--set` options of the report.
        wanted: the digest of what decides now.
        of_runs: the commits that the runs were made with.

    Returns:
        {"digest", "commit", "committed", "of_runs", "rule", "says"}, or {"digest", "commit": None,
        "why", "unknown"}: unknown if there is no history to look at.
    """
    none = {"digest": wanted, "commit": None, "unknown": False}
    if any(not text.startswith(NO_SETTING) for text in sets):
        return {**none, "why": "settings of --set stand in no committed file"}
    try:
        history = _History(recipe)
        found = history.oldest(wanted)
        if found is None:
            why = "the newest commit does not have them as they are now"
            return {**none, "why": why}
        return {
            "digest": wanted,
            "commit": found,
            "committed": history.dates[found],
            "of_runs": {each: history.contains(each, found) for each in of_runs},
            "rule": history.rule(found),
            "says": history.words(found),
        }
    except _NoHistoryError as error:
        return {**none, "why": str(error), "unknown": True}


def contradicted(recipe: Path, record: Mapping[str, Any]) -> str | None:
    """What git says against a record of `committed`: "" for nothing, None if the recorded commit
    cannot be looked at here."""
    commit = record.get("commit")
    if not commit:
        return None
    try:
        history = _History(recipe)
    except _NoHistoryError:
        return None
    if commit not in history.dates:
        return None
    if history.dates[commit] != record.get("committed"):
        return f"commit {commit[:7]} is of {history.dates[commit]}, not {record.get('committed')}"
    if history.digest(commit) != record.get("digest"):
        return f"commit {commit[:7]} does not have what decides this table"
    if history.rule(commit) != record.get("rule"):
        return f"commit {commit[:7]} does not have the recorded code of the decision rule"
    if history.words(commit) != record.get("says"):
        return f"commit {commit[:7]} does not have the recorded words of the claims"
    for each, said in (record.get("of_runs") or {}).items():
        now = history.contains(each, commit)
        if now is not None and said is not None and now != said:
            return f"whether {each[:7]} contains commit {commit[:7]} is recorded wrongly"
    return ""


class _NoHistoryError(HarnessError):
    """Why there is no history to look at."""


class _History:
    """The commits of a recipe's checkout, newest first, and what each of them decides."""

    def __init__(self, recipe: Path) -> None:
        real = Path(os.path.realpath(recipe))
        self.top = real.parent
        self.top = Path(os.path.realpath(self._git("rev-parse", "--show-toplevel").strip()))
        if self._git("rev-parse", "--is-shallow-repository").strip() != "false":
            raise _NoHistoryError("the checkout is shallow, without its older commits")
        self.recipe = real.relative_to(self.top)
        self.dates: dict[str, str] = {}
        self.parents: dict[str, list[str]] = {}
        for line in self._git("log", "--format=%H%x09%ct%x09%P", "HEAD").splitlines():
            commit, seconds, parents = line.split("\t")
            date = datetime.fromtimestamp(int(seconds), UTC)
            self.dates[commit] = date.strftime("%Y-%m-%dT%H:%M:%SZ")
            self.parents[commit] = parents.split()
        self.tracked = {self.top / name for name in self._git("ls-files", "-z").split("\0") if name}
        self._read: dict[tuple[str, ...], tuple[str, dict[str, str]]] = {}
        self._folders = sorted({self._folder(path) for path in _files(recipe)} - {""})
        self._keys = self._contents()

    def oldest(self, wanted: str) -> str | None:
        """The oldest commit from which an unbroken line of commits with the digest leads to HEAD;
        None if HEAD has another."""
        head = next(iter(self.dates))
        if self.digest(head) != wanted:
            return None
        seen, left, origins = {head}, [head], []
        while left:
            commit = left.pop()
            same = [p for p in self.parents[commit] if p in self.dates and self.digest(p) == wanted]
            if not same:
                origins.append(commit)
            left += [parent for parent in same if parent not in seen]
            seen.update(same)
        return min(origins, key=lambda commit: (self.dates[commit], commit))

    def digest(self, commit: str) -> str:
        """Of what decides at that commit; "" if the present code cannot read it."""
        return self._at(commit)[0]

    def words(self, commit: str) -> dict[str, str]:
        return self._at(commit)[1]

    def contains(self, descendant: str, commit: str) -> bool | None:
        """Whether one commit is the other or an ancestor of it; None if it is not here."""
        try:
            self._git("cat-file", "-e", f"{descendant}^{{commit}}")
        except _NoHistoryError:
            return None
        # lists what leads to the one but not to the other
        return not self._git("rev-list", "--max-count=1", commit, f"^{descendant}").strip()

    def rule(self, commit: str) -> dict[str, str] | None:
        """File of the decision rule -> digest of its code at that commit; None if the harness runs
        from elsewhere."""
        package = Path(os.path.realpath(harness.__file__)).parent
        if not package.is_relative_to(self.top) or package / "__init__.py" not in self.tracked:
            return None
        inside = package.relative_to(self.top).as_posix()
        found = {}
        for name in RULE:
            try:
                found[name] = rule_code(self._git("show", f"{commit}:{inside}/{name}"))
            except (_NoHistoryError, SyntaxError):
                continue  # not there yet
        return found

    def _at(self, commit: str) -> tuple[str, dict[str, str]]:
        key = self._keys[commit]
        if key not in self._read:
            self._read[key] = self._load(commit)
        return self._read[key]

    def _load(self, commit: str) -> tuple[str, dict[str, str]]:
        there = [
            name
            for name, found in zip(self._folders, self._keys[commit], strict=True)
            if found != "missing"
        ]
        if not there:
            return "", {}
        packed = self._bytes("archive", "--format=tar", commit, "--", *there)
        with temporary_folder() as folder:
            with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
                # Python 3.11.2, Debian's, has no filters; git's archives have no other places
                safe: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                tar.extractall(folder, **safe)
            recipe = folder / self.recipe
            try:
                # what is missing at the commit must not be read from the files of today
                if not recipe.is_file() or self.tracked & {*map(_real, _files(recipe))}:
                    return "", {}
                return _digest_of(recipe)
            except HarnessError:
                return "", {}

    def _folder(self, path: Path) -> str:
        """The file's folder in the checkout, or the file if it is at its top; "" if outside."""
        real = _real(path)
        if real not in self.tracked:
            return ""
        inside = real.relative_to(self.top)
        return (inside if inside.parent == Path() else inside.parent).as_posix()

    def _contents(self) -> dict[str, tuple[str, ...]]:
        """Commit -> the hash of each folder in it, or "missing"."""
        asked = "".join(f"{c}:{name}\n" for c in self.dates for name in self._folders)
        said = self._bytes("cat-file", "--batch-check=%(objectname)", given=asked.encode())
        hashes = iter(
            "missing" if line.endswith(" missing") else line for line in said.decode().splitlines()
        )
        return {commit: tuple(next(hashes) for _ in self._folders) for commit in self.dates}

    def _git(self, *words: str) -> str:
        return self._bytes(*words).decode(errors="replace")

    def _bytes(self, *words: str, given: bytes | None = None) -> bytes:
        # GIT_DIR and the like, set in git hooks, may name another checkout
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", "-C", str(self.top), *words]
        try:
            done = subprocess.run(
                command,
                input=given,
                stdin=None if given is not None else subprocess.DEVNULL,
                capture_output=True,
                timeout=120,
                check=False,
                env={**own, "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _NoHistoryError(f"git cannot be asked ({type(error).__name__})") from error
        if done.returncode:
            raise _NoHistoryError("the recipe is in no git checkout that can be read here")
        return done.stdout


def _files(recipe: Path) -> list[Path]:
    """Every file that the recipe is made of. Raises RecipeError."""
    found = list(closure(recipe))
    file = scale_file(recipe) if isinstance(loaded(recipe, ()), Scale) else None
    if file is not None and file.ablation is None:
        named = file.node.get("ablation")
        assert named is not None
        table = find_ablation(str(named.value), file.paths)
        found += [table, *(p for p in [table.parent / PRINTED] if p.is_file())]
    return found


def _digest_of(recipe: Path) -> tuple[str, dict[str, str]]:
    """(digest of what decides, claim -> digest of its words). Raises RecipeError."""
    made = loaded(recipe, ())
    ablation: Ablation | None = None
    if isinstance(made, Scale):
        expansion = expand(made, recipe)
        ablation = expansion.ablation
        recipes = {member.cell: member.recipe for member in expansion.members}
        return deciding(recipes, made.seeds, made, ablation), words(ablation)
    return deciding({"": made}, (made.seed,), None, None), {}


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
