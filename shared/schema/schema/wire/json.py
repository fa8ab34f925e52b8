"""JSON as Yojson reads and writes it: keys may repeat, integers have 64 bits, letters go out unescaped."""

import json
from typing import Any

from schema.wire.lenient import MAX_DEPTH, read_leniently, too_deep
from schema.wire.printer import dumps
from schema.wire.value import Dict

__all__ = ["dumps", "loads"]

_INT64_LIMIT = 1 << 63


def loads(text: str) -> Any:
    """A wire value (see `schema.wire.value`) from JSON.

    The standard library's reader is fast, and what it takes it reads as Yojson does, but for escapes in
    hexadecimal: it lets halves of surrogate pairs pass. Those, and all it refuses, the slow reader decides.

    Raises:
        JsonError: the text is no JSON that the original takes; the words are its own.
    """
    if "\\u" in text:
        return read_leniently(text)
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return read_leniently(text)
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _refuse_depth(value)
    return value


def _int64(digits: str) -> int:
    value = int(digits)
    if -_INT64_LIMIT <= value < _INT64_LIMIT:
        return value
    raise ValueError(digits)  # caught above: the slow reader has the words for it


_DECODER = json.JSONDecoder(object_pairs_hook=Dict, parse_int=_int64, strict=False)


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _contents(outer)]
        if not level:
            return
    raise too_deep()


def _contents(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return [content for _, content in value.pairs] if isinstance(value, Dict) else []
