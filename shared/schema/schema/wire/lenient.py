"""The slow reader: all that Yojson takes beyond JSON, and its words for what it does not take."""

import re
from typing import Any

from schema.wire.errors import JsonError
from schema.wire.value import Dict

MAX_DEPTH = 200
"""Deeper nesting is refused: it is an attack, and the reader recurses."""

_INT64_LIMIT = 1 << 63
_BLANK = re.compile(r"(?:[ \t\r\n]+|//[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][-+]?[0-9]+)?")
_WORD = re.compile(r"-?[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r'[^"\\]*')
_HEX = re.compile(r"[0-9A-Fa-f]{4}")
_WORDS = {
    "null": None,
    "true": True,
    "false": False,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}
_ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def read_leniently(text: str) -> Any:
    """A wire value from any text that Yojson takes; raises JsonError."""
    reader = _Reader(text)
    reader.skip_blank()
    if reader.at_end():
        raise JsonError('Yojson.Json_error("Blank input data")')
    value = reader.value(0)
    reader.expect_end()
    return value


class _Reader:
    """A place in a text; `last` is where the last token began, for error texts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.last = 0

    def at_end(self) -> bool:
        return self.place >= len(self.text)

    def skip_blank(self) -> None:
        found = _BLANK.match(self.text, self.place)
        if found is not None and found.end() > self.place:
            self.last, self.place = self.place, found.end()

    def peek(self) -> str:
        return self.text[self.place : self.place + 1]

    def take(self, length: int) -> str:
        self.last = self.place
        self.place += length
        return self.text[self.last : self.place]

    def invalid(self) -> JsonError:
        if self.at_end():
            return self.complaint(self.place, "Unexpected end of input")
        return self.complaint(self.place, f"Invalid token '{self.text[self.place :]}'")

    def complaint(self, start: int, what: str) -> JsonError:
        line = self.text.count("\n", 0, start) + 1
        begin = self.text.rfind("\n", 0, start) + 1
        words = f"Line {line}, bytes {start - begin}-{len(self.text) - begin}:\n{what}"
        escaped = words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return JsonError(f'Yojson.Json_error("{escaped}")')

    def expect_end(self) -> None:
        self.skip_blank()
        if not self.at_end():
            raise self.complaint(self.last, f"Junk after end of JSON value: '{self.text[self.place :]}'")

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise JsonError(f"nested deeper than {MAX_DEPTH} levels; send a flatter value")
        match self.peek():
            case '"':
                return self.string()
            case "{":
                return Dict(self.members(depth))
            case "[":
                return self.items(depth)
            case "<" | "(":
                raise JsonError("Jsonrpc.JsonToRpcError(_)")
            case _:
                return self.number_or_word()

    def number_or_word(self) -> Any:
        word = _WORD.match(self.text, self.place)
        if word is not None and word.group() in _WORDS:
            return _WORDS[self.take(len(word.group()))]
        number = _NUMBER.match(self.text, self.place)
        if number is None:
            raise self.invalid()
        digits = self.take(len(number.group()))
        if number["fraction"] or number["exponent"]:
            return float(digits)
        if -_INT64_LIMIT <= int(digits) < _INT64_LIMIT:
            return int(digits)
        raise JsonError('Failure("Int64.of_string")')

    def members(self, depth: int) -> list[tuple[str, Any]]:
        self.take(1)
        self.skip_blank()
        if self.peek() == "}":
            self.take(1)
            return []
        pairs = []
        while True:
            key = self.key()
            self.skip_blank()
            self.expect(":")
            self.skip_blank()
            pairs.append((key, self.value(depth + 1)))
            if self.ends("}"):
                return pairs

    def key(self) -> str:
        if self.peek() == '"':
            return self.string()
        word = _WORD.match(self.text, self.place)
        if word is None:
            raise self.invalid()
        return self.take(len(word.group()))

    def items(self, depth: int) -> list[Any]:
        self.take(1)
        self.skip_blank()
        if self.peek() == "]":
            self.take(1)
            return []
        found = []
        while True:
            found.append(self.value(depth + 1))
            if self.ends("]"):
                return found

    def ends(self, closing: str) -> bool:
        """Past a comma (False) or the closing bracket (True)."""
        self.skip_blank()
        if self.peek() == closing:
            self.take(1)
            return True
        self.expect(",")
        self.skip_blank()
        return False

    def expect(self, mark: str) -> None:
        if self.peek() != mark:
            raise self.invalid()
        self.take(1)

    def string(self) -> str:
        start = self.place
        self.take(1)
        parts = []
        while True:
            found = _PLAIN.match(self.text, self.place)
            plain = found.group() if found is not None else ""
            parts.append(plain)
            self.place += len(plain)
            if self.at_end():
                raise self.complaint(start, "Unexpected end of input")
            if self.take(1) == '"':
                return "".join(parts)
            parts.append(self.escape())

    def escape(self) -> str:
        mark = self.take(1)
        if mark in _ESCAPED:
            return _ESCAPED[mark]
        if mark != "u":
            raise self.complaint(self.place - 2, f"Invalid escape sequence '\\{mark}'")
        unit = self.hexadecimal()
        if 0xD800 <= unit < 0xDC00:
            return self.surrogate_pair(unit)
        return chr(unit) if not 0xDC00 <= unit < 0xE000 else _bytes_of_unit(unit)

    def surrogate_pair(self, high: int) -> str:
        if self.text[self.place : self.place + 2] != "\\u":
            raise self.complaint(self.place, "Expected low surrogate")
        self.take(2)
        low = self.hexadecimal()
        if not 0xDC00 <= low < 0xE000:
            raise self.complaint(self.place - 6, "Invalid low surrogate for code point beyond U+FFFF")
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))

    def hexadecimal(self) -> int:
        found = _HEX.match(self.text, self.place)
        if found is None:
            raise self.complaint(self.place - 2, "Invalid escape sequence '\\u'")
        return int(self.take(4), 16)


def _bytes_of_unit(unit: int) -> str:
    """A low surrogate alone: Yojson writes its three bytes, which are not UTF-8; kept as escaped bytes."""
    raw = bytes((0xE0 | unit >> 12, 0x80 | (unit >> 6 & 0x3F), 0x80 | (unit & 0x3F)))
    return raw.decode("utf-8", "surrogateescape")
