"""Backtraces, as the s-expressions that the original's clients read."""

import itertools
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType, TracebackType

_PLAIN = re.compile(r"[!-~]+")
_QUOTED = re.compile(r'["();\\]|\|#|#\|')
"""What makes the original's printer put an atom in quotes: these, and all that is no sign of ASCII."""

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\b": "\\b", "\r": "\\r"}

Sexp = str | Iterable["Sexp"]
"""An atom, or a list."""


def backtrace_of(error: BaseException) -> str:
    """Where an error was raised and by whom it was called, innermost first; `()` if nowhere."""
    frames = list(_frames(error.__traceback__))[::-1]
    process = f"{_program()} @ {socket.gethostname()}"
    return write_sexp(
        (
            ("process", process),
            ("filename", _filename(frame)),
            ("line", str(line)),
            ("chars_start", str(start)),
            ("chars_end", str(end)),
            ("name", f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"),
            ("is_inline", "false"),
            ("is_raise", "true" if number == 0 else "false"),
        )
        for number, (frame, (line, start, end)) in enumerate(frames)
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


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, tuple[int, int, int]]]:
    while traceback is not None:
        yield (
            traceback.tb_frame,
            _position(traceback.tb_frame.f_code, traceback.tb_lasti, traceback.tb_lineno),
        )
        traceback = traceback.tb_next


def _position(code: CodeType, instruction: int, line: int) -> tuple[int, int, int]:
    """The line and the columns of an instruction; zeros where Python was told to keep none."""
    found = next(itertools.islice(code.co_positions(), max(0, instruction) // 2, None), (None,) * 4)
    _, _, start, end = found
    return line or 0, start or 0, end or 0


def _filename(frame: FrameType) -> str:
    """The last parts of the path: where it is installed is nobody's business."""
    return "/".join(frame.f_code.co_filename.rsplit("/", 2)[-2:])


def _program() -> str:
    """What was started: a package run as a program is named by its folder."""
    path = Path(sys.argv[0] or "python")
    return path.parent.name if path.name == "__main__.py" else path.name
