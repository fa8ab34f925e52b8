"""Printer: JSON as Yojson writes it."""

from collections.abc import Callable
from typing import Any

from schema.wire.scalars import text_of_float
from schema.wire.value import Dict, Foreign

_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(0x20), 0x7F)} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    ord("\n"): "\\n",
    ord("\t"): "\\t",
    ord("\r"): "\\r",
    ord("\b"): "\\b",
    ord("\f"): "\\f",
}

_Put = Callable[[str], None]


def dumps(value: Any) -> str:
    """JSON, byte for byte as the original writes it: no spaces, `/` and letters of any script unescaped."""
    parts: list[str] = []
    _write(value, parts.append)
    return "".join(parts)


def _quote(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"' if _needs_escape(text) else f'"{text}"'


def _needs_escape(text: str) -> bool:
    return not text.isprintable() or '"' in text or "\\" in text


def _write(value: Any, put: _Put) -> None:
    if isinstance(value, str):
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
    elif isinstance(value, Foreign):
        put(value.json)
    else:
        _write_array(value, put)


def _write_object(value: Dict, put: _Put) -> None:
    lead = "{"
    for key, content in value.pairs:
        put(f"{lead}{_quote(key)}:")
        _write(content, put)
        lead = ","
    put("}" if lead == "," else "{}")


def _write_array(value: list[Any], put: _Put) -> None:
    lead = "["
    for item in value:
        put(lead)
        _write(item, put)
        lead = ","
    put("]" if lead == "," else "[]")
