"""Operators: who may look and who may act, by tokens in a file that nobody else can read.

A line is `NAME ROLE SECRET`; `#` begins a comment. The file is read again when it changes, so that a token is
taken back by removing its line.
"""

import hashlib
import hmac
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from schema.ids import is_safe_name

SECRET_CHARACTERS_MIN = 32
"""A secret that nobody guesses: `openssl rand -hex 32` makes one of 64."""

FILE_BYTES_MAX = 1 << 20


class OperatorRole(StrEnum):
    """What a token lets its holder do."""

    READER = "reader"
    OPERATOR = "operator"
    """Acts, too."""


class TokensError(OSError):
    """The file of tokens cannot be used; the sentence says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who has shown a token."""

    name: str
    role: OperatorRole

    @property
    def acts(self) -> bool:
        """Whether he may do more than look."""
        return self.role is OperatorRole.OPERATOR


Tokens = dict[bytes, Operator]
"""By the hash of the secret."""


class Doorkeeper:
    """Knows the file's tokens as it is now; a file that has become unusable lets nobody in."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises TokensError."""
        self._path = path
        self._stamp: tuple[int, ...] = ()
        self._tokens: Tokens = {}
        self._refresh()

    def who(self, secret: str) -> Operator | None:
        """Whose token it is; None for nobody's. Raises TokensError when nobody's could be known."""
        self._refresh()
        wanted = _hash(secret)
        found = None
        for known, operator in self._tokens.items():
            if hmac.compare_digest(known, wanted):
                found = operator
        return found

    def knows(self, operator: Operator) -> bool:
        """Whether somebody who was let in would still be; raises TokensError."""
        self._refresh()
        return operator in self._tokens.values()

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
            if stamp != self._stamp:
                self._stamp, self._tokens = (), {}
                check_private(found, self._path)
                self._tokens = parse_tokens(self._path.read_text(), self._path)
                self._stamp = stamp
        except (OSError, UnicodeDecodeError) as error:
            self._stamp, self._tokens = (), {}
            if isinstance(error, TokensError):
                raise
            raise TokensError(f"{self._path}: the tokens cannot be read: {error}") from error


def check_private(found: os.stat_result, path: Path) -> None:
    """Nobody else may read or change a file of secrets; raises TokensError.

    Root's group may read a file of root's: systemd's credentials, read by an ACL's leave, look like that.
    """
    if not stat.S_ISREG(found.st_mode) or found.st_size > FILE_BYTES_MAX:
        raise TokensError(f"{path}: tokens are kept in a plain file of at most {FILE_BYTES_MAX} bytes")
    others = 0o037 if (found.st_uid, found.st_gid) == (0, 0) else 0o077
    if found.st_mode & others:
        raise TokensError(f"{path}: others may read or change it: run chmod 600 {path}")
    if found.st_uid not in (os.geteuid(), 0):
        raise TokensError(f"{path}: it belongs to another user: run chown {os.geteuid()} {path}")


def parse_tokens(text: str, path: Path) -> Tokens:
    """The tokens that lines say; raises TokensError, without saying what stands there."""
    tokens: Tokens = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 3 or words[1] not in set(OperatorRole):
            raise TokensError(f"{path}:{number}: write NAME ROLE SECRET, where ROLE is reader or operator")
        name, role, secret = words
        if not is_safe_name(name):
            raise TokensError(f"{path}:{number}: a name has up to 64 letters, digits, '.', '_' and '-'")
        if len(secret) < SECRET_CHARACTERS_MIN:
            raise TokensError(f"{path}:{number}: a secret has at least {SECRET_CHARACTERS_MIN} characters")
        tokens[_hash(secret)] = Operator(name, OperatorRole(role))
    if not tokens:
        raise TokensError(f"{path}: there is no token in it: write a line NAME ROLE SECRET")
    return tokens


def tokens_text(secrets: Iterable[tuple[Operator, str]]) -> str:
    """A file's text."""
    lines = (f"{operator.name} {operator.role} {secret}\n" for operator, secret in secrets)
    return "# NAME ROLE SECRET; a role is reader or operator\n" + "".join(lines)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
