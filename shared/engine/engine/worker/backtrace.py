"""Backtraces, as the s-expressions that the original's clients read."""

import itertools
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, TracebackType
from typing import NamedTuple

_PLAIN = re.compile(r"[!-~]+")
_QUOTED = re.compile(r'["();\\]|\|#|#\|')
"""What makes the original's printer put an atom in quotes: these, and all that is no sign of ASCII."""

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\b": "\\b", "\r": "\\r"}

_PLACES_MAX = 1_000
"""So many places in backtraces are kept as they are written."""

Sexp = str | Iterable["Sexp"]
"""An atom, or a list."""


def backtrace_of(error: BaseException) -> str:
    """Where an error was raised and by whom it was called, innermost first; `()` if nowhere."""
    places = list(_places(error.__traceback__))[::-1]
    process = f"{_program()} @ {socket.gethostname()}"
    texts = (_written(process, place, is_raise=number == 0) for number, place in enumerate(places))
    return f"({''.join(texts)})"


@lru_cache(_PLACES_MAX)
def _written(process: str, place: "_Place", *, is_raise: bool) -> str:
    """One place, as an element of a backtrace; kept, for most errors come from the same few places."""
    line, start, end = _position(place)
    return write_sexp(
        (
            ("process", process),
            ("filename", _filename(place.code)),
            ("line", str(line)),
            ("chars_start", str(start)),
            ("chars_end", str(end)),
            ("name", f"{place.module}.{place.code.co_qualname}"),
            ("is_inline", "false"),
            ("is_raise", "true" if is_raise else "false"),
        )
    )


def write_sexp(sexp: Sexp) -> str:
    """An s-expression as sexplib writes it: with a space only where two atoms would run into one."""
    if isinstance(sexp, str):
        return _atom(sexp)
    texts, was_plain = list[str](), False
    for part in sexp:
        text = write_sexp(part)
        is_plain = isinstance(part, str) and text == part
        texts.append(f" {text}" if was_plain and is_plain else text)
        was_plain = is_plain
    return f"({''.join(texts)})"


def _atom(text: str) -> str:
    if _PLAIN.fullmatch(text) and not _QUOTED.search(text):
        return text
    octets = text.encode("utf-8", "surrogateescape").decode("latin-1")
    return '"' + "".join(_ESCAPES.get(letter) or _escaped(letter) for letter in octets) + '"'


def _escaped(letter: str) -> str:
    return letter if " " <= letter <= "~" else f"\\{ord(letter):03d}"


class _Place(NamedTuple):
    """Where a traceback leads through."""

    module: str
    code: CodeType
    instruction: int
    line: int


def _places(traceback: TracebackType | None) -> Iterator[_Place]:
    while traceback is not None:
        frame = traceback.tb_frame
        module = frame.f_globals.get("__name__", "?")
        yield _Place(module, frame.f_code, traceback.tb_lasti, traceback.tb_lineno)
        traceback = traceback.tb_next


def _position(place: _Place) -> tuple[int, int, int]:
    """The line and the columns of an instruction; zeros where Python was told to keep none."""
    positions = itertools.islice(place.code.co_positions(), max(0, place.instruction) // 2, None)
    _, _, start, end = next(positions, (None,) * 4)
    return place.line or 0, start or 0, end or 0


def _filename(code: CodeType) -> str:
    """The last parts of the path: where it is installed is nobody's business."""
    return "/".join(code.co_filename.rsplit("/", 2)[-2:])


def _program() -> str:
    """What was started: a package run as a program is named by its folder."""
    path = Path(sys.argv[0] or "python")
    return path.parent.name if path.name == "__main__.py" else path.name
