"""Strict YAML: no value is guessed, each key may occur once, and every value keeps its line number.

It reads the parser's events itself, because the usual loader guesses: `1e-4` would be text, `no` a
boolean, `1:30` ninety, `012` ten, and of two equal keys the first would be lost.
"""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from harness.errors import RecipeError, cannot_be_read
from harness.recipe.suggest import closest, listed, printable
from harness.recipe.tree import MAX_DEPTH, Node, Place, Scalar
from harness.redact import secret

QUOTE = "put it in quotes"
QUOTE_TWICE = "put it in quotes, and quote these for the shell"

MAX_BYTES = 1_000_000
MAX_INTEGER = 2**63 - 1
LONGEST_NUMBER = 40
"""Characters. Anything longer is text and is not matched against the expressions below."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_AMBIGUOUS = re.compile(
    r"[-+]?(0[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?"  # 012: twelve or ten
    r"|0[oO][0-7_]+|0[xX][0-9a-fA-F_]+|0[bB][01_]+"
    r"|[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?|[0-9][0-9_]*\.[0-9_]*_[0-9_]*"  # 1_000
    r"|[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?)"  # 1:30, which YAML 1.1 reads as ninety
)
_NOT_TEXT = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd"
    "\U00010000-\U0010ffff]"
)
"""Control characters, and characters that an editor does not show as they are: line breaks of YAML
1.1 that are hard to see (U+0085, U+2028, U+2029), and changes of the writing direction."""

_ENDS = (yaml.ScalarEvent, yaml.SequenceEndEvent, yaml.MappingEndEvent)

_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels: flatten it"

_HINTS = {
    "mapping values are not allowed": "quote text that contains ': ', and check the indentation",
    "could not find expected ':'": "write `field: value`",
    "cannot start any token": "indent with spaces, and quote text that starts with this character",
    "found character '\\t'": "indent with spaces, not tabs",
    "end of stream": "close the bracket or quote",
}


def read(path: Path, most: int = MAX_BYTES) -> Node:
    """The file's values, each with its line.

    Args:
        most: the largest file, in bytes.

    Raises RecipeError, with file and line, for content that is no mapping in strict YAML, and for a
    file that is absent, unreadable, not UTF-8, or larger than `most`.
    """
    source = display(path)
    node = parse(_decoded(_bytes(path, source, most), source), source)
    if not isinstance(node.value, dict):
        what = "empty" if node.value is None else "not a mapping"
        _refuse(node.place, f"the file is {what}: it needs fields, as in `name: value`")
    return node


def parse(text: str, source: str, line: int | None = 1) -> Node:
    """The values of one YAML document; `line` None: the text has no useful line numbers.

    Raises RecipeError.
    """
    reader = _Reader(source, numbered=line is not None)
    _guard(text, reader)
    try:
        return reader.document(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "unreadable"
        if "nesting depth" in problem:  # libyaml has its own limit
            _refuse(reader.place(0), _TOO_DEEP)
        last = text.rstrip().count("\n")  # the mark may be beyond the last line
        _refuse(reader.place(min(mark.line, last) if mark else 0), _syntax(problem))
    except (yaml.YAMLError, ValueError) as error:
        _refuse(reader.place(0), _syntax(str(error)))


def parse_value(text: str, source: str) -> Node:
    """A single value without spaces around it: either YAML in brackets or quotes, none of it cut
    off as a comment, or a scalar of exactly these characters.

    Raises RecipeError.
    """
    if text[:1] in ("[", "{", '"', "'"):
        found = parse(text, source, line=None)
        if text[0] in "\"'" and not isinstance(found.value, str):
            _refuse(found.place, f"{printable(text)}: write a mapping in braces: {{...}}")
        marks = [e.end_mark for e in yaml.parse(text, Loader=_LOADER) if isinstance(e, _ENDS)]
        if rest := text[max(mark.index for mark in marks if mark is not None) :].strip():
            _refuse(
                found.place,
                f"YAML would drop {printable(rest)} as a comment: quote the whole value",
            )
        return found
    reader = _Reader(source, numbered=False)
    _guard(text, reader)
    return Node(reader.scalar(yaml.ScalarEvent(None, None, (True, False), text)), reader.place(0))


def _guard(text: str, reader: _Reader) -> None:
    """Refuse secrets and characters that no recipe may contain."""
    bad = _NOT_TEXT.search(text)
    if bad is not None:
        place = reader.place(text.count("\n", 0, bad.start()))
        _refuse(place, f"{_unwanted(bad)} is not allowed in a recipe: remove it")
    if (found := secret(text)) is not None:
        place = reader.place(text.count("\n", 0, found[1]))
        _refuse(place, f"contains {found[0]}, which would be copied into run folders: remove it")


def is_text(text: str) -> bool:
    """Whether this text, unquoted, is read as text and not as a number, boolean or null."""
    other = text in ("", "~", "null", "true", "false")
    return not other and not any(
        pattern.fullmatch(text) for pattern in (_INTEGER, _FLOAT, _NOT_FINITE, _AMBIGUOUS)
    )


def display(path: Path) -> str:
    """The path as messages show it: relative to the working directory if inside it."""
    try:
        inside = os.path.relpath(path)
    except (OSError, ValueError):
        inside = str(path)
    outside = inside == os.pardir or inside.startswith(os.pardir + os.sep)
    return printable(str(path) if outside else inside, longest=1000)


def no_such(path: Path) -> str:
    """Message that the file is absent, and which one was probably meant."""
    folder = path.parent
    try:
        if not folder.is_dir():
            return f"no folder {display(folder)}"
        if path.is_symlink():
            return _broken(path)
        names = sorted(p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))
    except (OSError, ValueError):
        names = []
    # without extensions: they would make any two short names similar
    stems = {name.rpartition(".")[0]: name for name in names}
    near = closest(re.sub(r"\.ya?ml$", "", path.name), stems)
    if near is not None:
        return f"no such file, did you mean {display(folder / stems[near])}?"
    return f"no such file; existing ones: {listed(names)}" if names else "no such file"


def _broken(link: Path) -> str:
    try:
        link.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "symbolic links form a loop: replace them by the file"
    return f"a link to {printable(str(link.readlink()), 300)}, which does not exist"


class _Reader:
    """Builds nodes from the parser's events; never deeper than MAX_DEPTH."""

    def __init__(self, source: str, *, numbered: bool) -> None:
        self.source = source
        self.numbered = numbered
        self.quote = QUOTE if numbered else QUOTE_TWICE

    def place(self, line_from_0: int) -> Place:
        return Place(self.source, line_from_0 + 1 if self.numbered else None)

    def document(self, events: Iterator[yaml.Event]) -> Node:
        found: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found is not None:
                    self.refuse(event, "a second document starts here: write one recipe per file")
                found = self.node(next(events), events, 0)
        return found or Node(None, self.place(0))

    def node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        self.refuse_indirection(event)
        place = self.place(_line(event))
        if isinstance(event, yaml.ScalarEvent):
            return Node(self.scalar(event), place)
        if depth == MAX_DEPTH:
            self.refuse(event, _TOO_DEEP)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(self.items(events, depth), place)
        return Node(self.fields(events, depth), place)

    def items(self, events: Iterator[yaml.Event], depth: int) -> list[Node]:
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self.node(event, events, depth + 1))
        return items

    def fields(self, events: Iterator[yaml.Event], depth: int) -> dict[str, Node]:
        fields: dict[str, Node] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self.key(event)
            if key in fields:
                first = fields[key].place
                at = f" (first in line {first.line})" if first.line else ""
                self.refuse(event, f"{printable(key)}: given twice{at}: keep one")
            value = self.node(next(events), events, depth + 1)
            fields[key] = Node(value.value, self.place(_line(event)))
        return fields

    def key(self, event: yaml.Event) -> str:
        self.refuse_indirection(event)
        if not isinstance(event, yaml.ScalarEvent):
            self.refuse(event, "a field's name must be text, not a list or a mapping")
        key = self.scalar(event)
        if not isinstance(key, str):
            self.refuse(event, f"the field name {event.value or 'null'} is not text: quote it")
        if key == "<<" and event.implicit[0]:
            self.refuse(
                event, "<<: merge keys are not supported: write the fields out, or use extends:"
            )
        return key

    def scalar(self, event: yaml.ScalarEvent) -> Scalar:
        text: str = event.value
        if not event.implicit[0]:  # quoted, or a block of text
            if (bad := _NOT_TEXT.search(text)) is not None:
                self.refuse(event, f"{_unwanted(bad)} is not allowed in a recipe: remove it")
            return text
        if text in ("", "~", "null"):
            return None
        if text in ("true", "false"):
            return text == "true"
        if _INTEGER.fullmatch(text):
            return self.integer(event, text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isinf(number):
                self.refuse(event, f"{printable(text)} is too large for a number: {self.quote}")
            if number == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
                self.refuse(event, f"{printable(text)} is too small for a number: write 0")
            return number + 0.0  # -0 is 0, and names no other run
        if _NOT_FINITE.fullmatch(text):
            self.refuse(event, f"{text} is not a finite number: write one, or {self.quote}")
        if len(text) <= LONGEST_NUMBER and _AMBIGUOUS.fullmatch(text):
            self.refuse(
                event,
                f"{printable(text)} means different things in YAML 1.1 and 1.2: write a plain "
                f"decimal number, or {self.quote}",
            )
        return text

    def integer(self, event: yaml.ScalarEvent, text: str) -> int:
        # Python refuses to convert thousands of digits: measure before converting.
        if len(text) > 20 or abs(int(text)) > MAX_INTEGER:
            self.refuse(event, f"{printable(text)} is too large for a whole number")
        return int(text)

    def refuse_indirection(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent):
            self.refuse(event, "aliases are not supported: write the value out, or use extends:")
        if getattr(event, "anchor", None) is not None:
            self.refuse(event, "anchors are not supported: remove it, or use extends:")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self.refuse(event, f"the tag {printable(tag)} is not supported: remove it")

    def refuse(self, event: yaml.Event, problem: str) -> NoReturn:
        _refuse(self.place(_line(event)), problem)


def _bytes(path: Path, source: str, most: int) -> bytes:
    try:
        if path.is_dir():
            raise RecipeError(f"{source}: a folder: name a .yaml file in it")
        if not path.exists():
            raise RecipeError(f"{source}: {no_such(path)}")
        if not path.is_file():
            raise RecipeError(f"{source}: not a regular file: name a .yaml file")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise RecipeError(cannot_be_read(error, Path(source))) from error
    except ValueError as error:  # a null character
        raise RecipeError(f"{source}: not a file name") from error
    if len(content) > most:
        raise RecipeError(f"{source}: larger than {most // 1_000_000} MB: too large to read")
    return content


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RecipeError(f"{source}:{line}: not UTF-8: save the file as UTF-8 text") from error


def _line(event: yaml.Event) -> int:
    return event.start_mark.line if event.start_mark is not None else 0


def _unwanted(found: re.Match[str]) -> str:
    return f"the character U+{ord(found[0]):04X}"


def _syntax(problem: str) -> str:
    hint = next((h for part, h in _HINTS.items() if part in problem), "check this line's syntax")
    return f"not valid YAML ({printable(problem, 100)}): {hint}"


def _refuse(place: Place, problem: str) -> NoReturn:
    raise RecipeError(f"{place}: {problem}")
