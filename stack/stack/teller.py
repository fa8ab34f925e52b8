"""Teller: how the demo says what it does: headings, remarks, commands, a guest's words."""

import os
from typing import TextIO

_BOLD, _DIM, _RED, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[0m"


class NobodyListensError(Exception):
    """Whoever read what was told is gone; raised once."""


class Teller:
    """Lines on a stream, with emphasis where it is a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._has_style = out.isatty() and not os.environ.get("NO_COLOR")

    def heading(self, words: str) -> None:
        """A step begins."""
        self._line(f"\n{self._styled(_BOLD, words)}")

    def remark(self, words: str) -> None:
        """What is to be known about a step."""
        self._line(f"  {words}")

    def command(self, arguments: tuple[str, ...]) -> None:
        """What a user would type; its own output follows."""
        self._line(self._styled(_BOLD, f"$ {' '.join(arguments)}"))

    def heard(self, words: str) -> None:
        """A line of a guest's console."""
        self._line(f"{self._styled(_DIM, '  console |')} {words}")

    def trouble(self, words: str) -> bool:
        """What went wrong; whoever says so has more to do than to be heard. Answers whether it was heard."""
        try:
            self._line(self._styled(_RED, words))
        except NobodyListensError:
            return False
        return True

    def _styled(self, style: str, words: str) -> str:
        return f"{style}{words}{_PLAIN}" if self._has_style else words

    def _line(self, words: str) -> None:
        try:
            self._out.write(words + "\n")
            self._out.flush()
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._out.fileno())  # what is said while all is ended troubles nobody
            os.close(nowhere)
            raise NobodyListensError(str(error)) from error
