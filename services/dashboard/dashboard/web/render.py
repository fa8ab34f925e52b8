"""Render: pages from templates; whatever a name or a text holds is shown as text, never as markup."""

import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

_FOLDER = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"

NOTHING = "\N{EN DASH}"
"""Where there is no figure."""

UNBROKEN = "\N{NO-BREAK SPACE}"
"""Between a number and its unit."""

TEXT_SHOWN_MAX = 400
"""Of a text that others wrote; the API has the rest."""


def span(seconds: float | None) -> str:
    """A duration for people, on one line: `340 ms`, `3.2 s`, `5 min 3 s`, `2 h`, `3 d 4 h`."""
    return NOTHING if seconds is None else _span(seconds).replace(" ", UNBROKEN)


def _span(seconds: float) -> str:
    if 0 < seconds < 0.00005:
        return "< 0.1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return _two(whole // 60, "min", whole % 60, "s")
    if whole < 86_400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    return _two(whole // 86_400, "d", whole % 86_400 // 3600, "h")


def _two(many: int, unit: str, rest: int, lesser: str) -> str:
    return f"{many} {unit} {rest} {lesser}" if rest else f"{many} {unit}"


def brief(value: Any) -> str:
    """A part of a record in a few words: of what has a kind that, of several how many there are."""
    match value:
        case {"kind": "Atomic", "atomic": atomic}:
            return brief(atomic)
        case {"kind": str(kind)}:
            return kind
        case list() if len(value) > 1:
            return f"{len(value)} of them"
        case [only]:
            return brief(only)
        case dict():
            return ", ".join(map(str, value))
        case float():
            return f"{value:.12g}" if abs(value) >= 1000 else f"{value:.4g}"
        case _:
            return str(value)


def clock(at: float | None) -> str:
    """A time of day, or a day and a time if that is longer ago than a day's beginning."""
    return NOTHING if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def figure(value: float | None) -> str:
    """A number with three digits that matter, or none."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def short(text: str) -> str:
    """The beginning of a long text, without what would turn its direction or break its line."""
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return printable if len(printable) <= TEXT_SHOWN_MAX else f"{printable[:TEXT_SHOWN_MAX]}…"


def dress() -> str:
    """What style and script are called by: browsers keep them until another version has others."""
    return f"{zlib.crc32(b''.join(path.read_bytes() for path in sorted(STATIC.iterdir()))):08x}"


class Pages:
    """All templates."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "span": span,
            "clock": clock,
            "figure": figure,
            "short": short,
            "brief": brief,
        }
        self._environment.globals["dress"] = dress()

    def show(self, name: str, status: int = 200, /, **known: Any) -> HTMLResponse:
        """A page, with its status."""
        text = self._environment.get_template(f"{name}.html").render(**known)
        return HTMLResponse(text.encode("utf-8", "replace"), status)
