"""User: as whom QEMU runs, and how it comes to be so before its first instruction."""

import grp
import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

UID_MAX = 2**32 - 2

_KVM = "kvm"
"""The group that may use /dev/kvm."""


class RightsError(Exception):
    """QEMU cannot be run so; the sentence says why, and what to do."""


@dataclass(frozen=True, slots=True)
class User:
    """Users for QEMUs: one, or `count`, of which each domain has another: none reaches into another."""

    name: str
    uid: int
    gid: int
    groups: Sequence[int] = ()
    count: int = 1

    def of(self, domid: int) -> tuple[int, int]:
        """The uid and gid of a domain."""
        number = domid % self.count
        return self.uid + number, self.gid + number


def find_user(word: str) -> User:
    """A user by name, or users by the range of their numbers, `FIRST-LAST`; KVM's group comes with either.

    Raises:
        RightsError: there is none, it is root, or only root can start programs as another user.
    """
    if os.geteuid() != 0:
        raise RightsError(f"only root can run QEMU as {word!r}: run the worker as root, or set no user")
    if shutil.which("setpriv") is None:
        raise RightsError(f"there is no setpriv on PATH to run QEMU as {word!r}: install util-linux")
    user = _range(word) or _named(word)
    if user.uid == 0:
        raise RightsError(f"{word!r} is root: give QEMU a user without rights")
    return user


def launcher(user: User | None, domid: int) -> list[str]:
    """The words before a program's own: it runs as a domain's user, and gains no rights."""
    if user is None:
        return []
    uid, gid = user.of(domid)
    groups = f"--groups={','.join(map(str, user.groups))}" if user.groups else "--clear-groups"
    rights = ["--reuid", str(uid), "--regid", str(gid), groups, "--inh-caps=-all", "--no-new-privs"]
    return ["setpriv", *rights, "--"]


def _range(word: str) -> User | None:
    first, dash, last = word.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal()):
        return None
    if not 0 < int(first) <= int(last) <= UID_MAX:
        raise RightsError(f"{word!r} is no range of users: give FIRST-LAST, as 300000-365535")
    return User(word, int(first), int(first), _kvm(), int(last) - int(first) + 1)


def _named(word: str) -> User:
    try:
        found = pwd.getpwnam(word)
    except KeyError as error:
        raise RightsError(
            f"there is no user {word!r}: make it (`adduser --system {word}`), or give a range of numbers"
        ) from error
    own = tuple(os.getgrouplist(word, found.pw_gid))
    return User(word, found.pw_uid, found.pw_gid, tuple(sorted({*own, *_kvm()})))


def _kvm() -> tuple[int, ...]:
    try:
        return (grp.getgrnam(_KVM).gr_gid,)
    except KeyError:
        return ()
