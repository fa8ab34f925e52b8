"""JSON as Yojson reads and writes it: keys may repeat, integers have 64 bits, letters go out unescaped."""

import json
from typing import Any

from schema.wire.errors import JsonError
from schema.wire.lenient import read_leniently
from schema.wire.scalars import text_of_float
from schema.wire.value import Dict

_INT64_LIMIT = 1 << 63


def loads(text: str) -> Any:
    """A wire value (see `schema.wire.value`) from JSON.

    Raises:
        JsonError: the text is no JSON that the original takes; the words are its own.
    """
    if "\\u" in text:
        return read_leniently(text)  # surrogates: the standard library lets halves of them pass
    try:
        return _DECODER.decode(text)
    except (json.JSONDecodeError, RecursionError):
        return read_leniently(text)


def dumps(value: Any) -> str:
    """JSON, byte for byte as the original writes it: no spaces, `/` and letters of any script unescaped."""
    parts: list[str] = []
    _write(value, parts.append)
    return "".join(parts)


def _int64(digits: str) -> int:
    value = int(digits)
    if -_INT64_LIMIT <= value < _INT64_LIMIT:
        return value
    raise JsonError('Failure("Int64.of_string")')


_DECODER = json.JSONDecoder(object_pairs_hook=Dict, parse_int=_int64, strict=False)

_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(0x20), 0x7F)} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    ord("\n"): "\\n",
    ord("\t"): "\\t",
    ord("\r"): "\\r",
    ord("\b"): "\\b",
    ord("\f"): "\\f",
}


def _quote(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"' if _needs_escape(text) else f'"{text}"'


def _needs_escape(text: str) -> bool:
    return not text.isprintable() or '"' in text or "\\" in text


def _write(value: Any, put: Any) -> None:
    if type(value) is str or isinstance(value, str):
        put(_quote(value))
    elif value is None:
        put("null")
    elif value is True or value is False:
        put("true" if value else "false")
    elif isinstance(value, int):
        put(str(value))
    elif isinstance(value, float):
        put(text_of_float(value))
    elif isinstance(value, Dict):
        _write_object(value, put)
    else:
        _write_array(value, put)


def _write_object(value: Dict, put: Any) -> None:
    lead = "{"
    for key, content in value.pairs:
        put(f"{lead}{_quote(key)}:")
        _write(content, put)
        lead = ","
    put("}" if lead == "," else "{}")


def _write_array(value: list[Any], put: Any) -> None:
    lead = "["
    for item in value:
        put(lead)
        _write(item, put)
        lead = ","
    put("]" if lead == "," else "[]")
