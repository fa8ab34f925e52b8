"""The slow reader: all that Yojson takes beyond JSON, and its words for what it does not take."""

import re
from typing import Any

from schema.wire.errors import JsonError, UnsupportedJsonError
from schema.wire.lexer import Lexer
from schema.wire.printer import dumps
from schema.wire.value import Dict, Foreign

MAX_DEPTH = 200
"""Deeper nesting is refused: it is an attack, and readers and writers recurse."""

_INT64_LIMIT = 1 << 63
_INT64_DIGITS = 20
_TOKEN = re.compile(
    r"(?P<word>true|false|null|NaN|-?Infinity)"
    r"|(?P<integer>-?(?:0|[1-9][0-9]*))(?P<rest>(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = {
    "null": None,
    "true": True,
    "false": False,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}


def read_leniently(text: str) -> Any:
    """A wire value from any text that Yojson takes; raises JsonError."""
    lexer = Lexer(text)
    lexer.skip_blank()
    if lexer.at_end():
        raise JsonError('Yojson.Json_error("Blank input data")')
    value = _Reader(lexer).value(0)
    lexer.skip_blank()
    if not lexer.at_end():
        raise lexer.refusal("Junk after end of JSON value:", token_bytes=0)
    _refuse_foreign(value)
    return value


def too_deep() -> JsonError:
    """The refusal of a value that is nested too deep."""
    return JsonError(f"nested deeper than {MAX_DEPTH} levels; send a flatter value")


def _refuse_foreign(value: Any) -> None:
    """Raises for the first part that no wire value can hold: the text as a whole was JSON to Yojson."""
    if isinstance(value, Foreign):
        raise JsonError('Failure("Int64.of_string")') if value.is_number else UnsupportedJsonError(value.json)
    if isinstance(value, list):
        for item in value:
            _refuse_foreign(item)
    elif isinstance(value, Dict):
        for _, content in value.pairs:
            _refuse_foreign(content)


class _Reader:
    """Reads values where its lexer stands."""

    def __init__(self, lexer: Lexer) -> None:
        self._lexer = lexer

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise too_deep()
        lexer = self._lexer
        if lexer.takes('"'):
            return lexer.string()
        if lexer.takes("{"):
            return Dict(self._members(depth))
        if lexer.takes("["):
            return self._items(depth, "]")
        if lexer.takes("("):
            content = dumps(self._items(depth, ")"))
            return Foreign(f"({content[1:-1]})")
        if lexer.takes("<"):
            return self._variant(depth)
        return self._scalar()

    def _scalar(self) -> Any:
        found = self._lexer.match(_TOKEN)
        if found is None:
            raise self._lexer.refusal("Invalid token")
        word, integer, rest = found.groups()
        if word is not None:
            return _WORDS[word]
        if rest:
            return float(integer + rest)
        if len(integer) <= _INT64_DIGITS and -_INT64_LIMIT <= int(integer) < _INT64_LIMIT:
            return int(integer)
        return Foreign(integer, is_number=True)

    def _members(self, depth: int) -> list[tuple[str, Any]]:
        pairs: list[tuple[str, Any]] = []
        self._lexer.skip_blank()
        if self._lexer.takes("}"):
            return pairs
        while True:
            key = self._key()
            if not self._lexer.takes(":"):
                raise self._lexer.refusal("Expected ':' but found")
            self._lexer.skip_blank()
            pairs.append((key, self.value(depth + 1)))
            if self._ends("}"):
                return pairs

    def _key(self) -> str:
        """A string or a bare word, and the blank behind it."""
        if self._lexer.takes('"'):
            key = self._lexer.string()
        elif (found := self._lexer.match(_IDENTIFIER)) is not None:
            key = found.group()
        else:
            raise self._lexer.refusal("Expected string or identifier but found")
        self._lexer.skip_blank()
        return key

    def _items(self, depth: int, closing: str) -> list[Any]:
        items: list[Any] = []
        self._lexer.skip_blank()
        if self._lexer.takes(closing):
            return items
        while True:
            items.append(self.value(depth + 1))
            if self._ends(closing):
                return items

    def _ends(self, closing: str) -> bool:
        """Past the closing bracket (True), or past a comma (False)."""
        self._lexer.skip_blank()
        if self._lexer.takes(closing):
            return True
        if not self._lexer.takes(","):
            raise self._lexer.refusal(f"Expected ',' or '{closing}' but found")
        self._lexer.skip_blank()
        return False

    def _variant(self, depth: int) -> Foreign:
        lexer = self._lexer
        lexer.skip_blank()
        tag = dumps(self._key())
        if lexer.takes(">"):
            return Foreign(f"<{tag}>")
        if not lexer.takes(":"):
            raise lexer.refusal("Expected ':' or '>' but found")
        lexer.skip_blank()
        content = dumps(self.value(depth + 1))
        lexer.skip_blank()
        if not lexer.takes(">"):
            raise lexer.refusal("Expected '>' but found")
        return Foreign(f"<{tag}:{content}>")
