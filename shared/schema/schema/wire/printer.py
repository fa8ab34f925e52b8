"""Printer: JSON as Yojson writes it."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from types import NoneType
from typing import Any

from schema.wire.scalars import text_of_float
from schema.wire.value import Dict, Foreign

KEYS_KEPT = 4_096
"""Keys whose text is at hand: fields' names come again and again, what clients make up does not matter."""


def dumps(value: Any) -> str:
    """JSON, byte for byte as the original writes it: no spaces, `/` and letters of any script unescaped."""
    return _TEXTS[type(value)](value)


def quote(text: str) -> str:
    """A string. The standard library's escapes are Yojson's, but for one letter."""
    quoted = encode_basestring(text)
    return quoted.replace("\x7f", "\\u007f") if "\x7f" in quoted else quoted


_key = lru_cache(KEYS_KEPT)(quote)


def _object(value: Dict) -> str:
    pairs = [f"{_key(key)}:{_TEXTS[type(content)](content)}" for key, content in value.pairs]
    return "{" + ",".join(pairs) + "}"


def _array(value: Sequence[Any]) -> str:
    return "[" + ",".join([_TEXTS[type(item)](item) for item in value]) + "]"


_TEXTS: dict[type, Callable[[Any], str]] = {
    str: quote,
    int: str,
    float: text_of_float,
    bool: lambda value: "true" if value else "false",
    NoneType: lambda _: "null",
    Dict: _object,
    list: _array,
    tuple: _array,
    Foreign: lambda value: value.json,
}
"""How each of the wire's types is written."""
