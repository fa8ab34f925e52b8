"""Lexer: where a reader stands in a JSON text, its blanks and strings, and Yojson's words of refusal.

Lines and bytes in those words are those of Yojson 2.1: bytes count from the start of the line, begin one
before the first byte behind the refused token, and end where the junk that is shown ends.
"""

import re

from schema.wire.errors import JsonError
from schema.wire.scalars import quoted

_JUNK_BYTES = 32
"""So much is shown of what follows a refused token."""

_BLANK = re.compile(r"[ \t\r]+|(?P<line>\n|//[^\n]*(?:\n|\Z))|(?P<comment>/\*)")
_PLAIN = re.compile(r'[^"\\]+')
_ESCAPE = re.compile(r'["\\/bfnrt]|u[0-9A-Fa-f]{4}')
_LOW_HALF = re.compile(r"\\u([0-9A-Fa-f]{4})")
_ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Lexer:
    """A place in a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self._line = 1
        self._line_start = 0

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self.place >= len(self.text)

    def peek(self) -> str:
        """The next letter; empty at the end."""
        return self.text[self.place : self.place + 1]

    def takes(self, mark: str) -> bool:
        """Past `mark`, if that is what stands here."""
        if self.peek() != mark:
            return False
        self.place += 1
        return True

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Past what `pattern` finds here, if it finds anything."""
        found = pattern.match(self.text, self.place)
        if found is not None:
            self.place = found.end()
        return found

    def skip_blank(self) -> None:
        """Past blanks, ends of lines and comments."""
        while (found := self.match(_BLANK)) is not None:
            if found.lastgroup == "line":
                self._line += 1
                self._line_start = self.place
            elif found.lastgroup == "comment":
                self._skip_comment()

    def _skip_comment(self) -> None:
        end = self.text.find("*/", self.place)
        stop = end if end >= 0 else len(self.text)
        lines = self.text.count("\n", self.place, stop)
        if lines:
            self._line += lines
            self._line_start = self.text.rfind("\n", self.place, stop) + 1
        self.place = stop
        if end < 0:
            raise self.refusal("Unterminated comment", token_bytes=0)
        self.place += len("*/")

    def string(self) -> str:
        """The rest of a string whose opening quote has been taken."""
        parts = []
        while True:
            if (plain := self.match(_PLAIN)) is not None:
                parts.append(plain.group())
            if self.takes('"'):
                return "".join(parts)
            if not self.takes("\\"):
                raise self.refusal("")
            parts.append(self._escape())

    def _escape(self) -> str:
        found = self.match(_ESCAPE)
        if found is None:
            raise self.refusal("Invalid escape sequence")
        mark, digits = found.group()[0], found.group()[1:]
        if not digits:
            return _ESCAPED[mark]
        unit = int(digits, 16)
        if 0xD800 <= unit < 0xDC00:
            return self._surrogate_pair(unit)
        return _bytes_of_half(unit) if 0xDC00 <= unit < 0xE000 else chr(unit)

    def _surrogate_pair(self, high: int) -> str:
        beyond = "low surrogate for code point beyond U+FFFF"
        found = _LOW_HALF.match(self.text, self.place)
        if found is None:
            raise self.refusal(f"Missing escape sequence representing {beyond}")
        low = int(found.group(1), 16)
        if not 0xDC00 <= low < 0xE000:
            raise self.refusal(f"Invalid {beyond}", token_bytes=len(found.group()))
        self.place = found.end()
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))

    def refusal(self, words: str, *, token_bytes: int = 1) -> JsonError:
        """What is wrong with the token that stands here, of so many bytes; at the end, that the text ends."""
        begin = len(_encoded(self.text[self._line_start : self.place]))
        junk = _encoded(self.text[self.place : self.place + token_bytes + _JUNK_BYTES])
        junk = junk[: token_bytes + _JUNK_BYTES]
        if token_bytes and not junk:
            return self._located(begin - 1, begin, "Unexpected end of input")
        shown = junk.decode("utf-8", "surrogateescape")
        return self._located(begin + token_bytes - 1, begin + len(junk), f"{words} '{shown}'")

    def _located(self, begin: int, end: int, sentence: str) -> JsonError:
        words = f"Line {self._line}, bytes {begin}-{end}:\n{sentence}"
        return JsonError(f"Yojson.Json_error({quoted(words)})")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _bytes_of_half(unit: int) -> str:
    """A low surrogate alone: Yojson writes its three bytes, which are not UTF-8; kept as escaped bytes."""
    raw = bytes((0xE0 | unit >> 12, 0x80 | (unit >> 6 & 0x3F), 0x80 | (unit & 0x3F)))
    return raw.decode("utf-8", "surrogateescape")
