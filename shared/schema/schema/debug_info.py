"""Debug info: what a request's `debug_info` says: a name for logs and tasks and, on a second line, a trace.

The trace is a W3C traceparent, or a JSON object of `traceparent` and `baggage`; as the original's clients
write either.
"""

import re
from dataclasses import dataclass
from typing import Any

from schema.wire import json
from schema.wire.errors import JsonError
from schema.wire.value import Dict

Baggage = tuple[tuple[str, str], ...]
"""What a trace carries along: names and values, which every span of it shows."""

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NOBODY = re.compile(r"00-(?:0{32}-.*|.*-0{16}-..)")


@dataclass(frozen=True, slots=True)
class DebugInfo:
    """A request's name and the span that caused it; no `traceparent`: nobody traces it."""

    log: str
    traceparent: str | None = None
    baggage: Baggage = ()


def read_debug_info(text: str) -> DebugInfo:
    """Take a `debug_info` apart; one with no or with several line ends is but a name."""
    log, *lines = text.split("\n")
    if len(lines) != 1:
        return DebugInfo(text)
    try:
        context = json.loads(lines[0])
    except JsonError:
        return DebugInfo(log, read_traceparent(lines[0]))
    found = _read_context(context)
    return DebugInfo(log) if found is None else DebugInfo(log, *found)


def write_debug_info(info: DebugInfo) -> str:
    """The text that `read_debug_info` takes apart."""
    if info.traceparent is None:
        return info.log
    baggage = [list(pair) for pair in info.baggage]
    context = json.dumps(Dict([("traceparent", info.traceparent), ("baggage", baggage)]))
    return f"{info.log.replace(chr(10), '')}\n{context}"


def read_traceparent(text: str | None) -> str | None:
    """A traceparent that names a span, in small letters; None when it names none.

    Whether its sampled flag is set does not matter, as in the original: observers decide what is traced.
    """
    lowered = (text or "").lower()
    if _TRACEPARENT.fullmatch(lowered) is None or _NOBODY.fullmatch(lowered):
        return None
    return lowered


def trace_of(traceparent: str | None) -> str:
    """The trace id in a W3C traceparent; "" if there is none."""
    words = (traceparent or "").split("-")
    return words[1] if len(words) == 4 else ""


def _read_context(context: Any) -> tuple[str | None, Baggage] | None:
    """The trace that a JSON value holds; None when it is no such object."""
    if not isinstance(context, Dict) or {key for key, _ in context.pairs} != {"traceparent", "baggage"}:
        return None
    traceparent, baggage = context.get("traceparent"), context.get("baggage")
    if not isinstance(traceparent, str | None) or not _is_baggage(baggage):
        return None
    found = read_traceparent(traceparent)
    return found, tuple((key, value) for key, value in baggage or ()) if found else ()


def _is_baggage(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        for pair in value
    )
