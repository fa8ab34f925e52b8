"""Handover: one domain from one libvirtd to another, neither of which is reached by the other's side.

Source and destination tell each other cookies, and carry bytes between Unix sockets: by what way is not
libvirt's business. All methods raise as those of `Connection`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import libvirt  # type: ignore[import-untyped]

from virt import phases
from virt.connection import Connection
from virt.meaning import Handle
from virt.xml import parsed

_UNBOUND_MIB_S = (2**63 - 1) // 2**20
"""The most that libvirt takes, and what a domain has unless told otherwise."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where QEMU's state, and the disks that go along, pass on this host."""

    state: Path
    disks: Path


def host_of(connection: Connection) -> tuple[str, str]:
    """By what a libvirtd tells its host from others, a UUID and a name: it takes nothing from its own."""
    uuid = parsed(connection.capabilities()).findtext("./host/uuid") or ""
    return uuid, connection.call("tell its host's name", lambda handle: str(handle.getHostname()))


@dataclass(frozen=True, slots=True)
class Departure:
    """A domain on its way out; `disks`, by their targets, go along. One connection must make all calls."""

    connection: Connection
    uuid: str
    disks: Sequence[str] = ()

    def begin(self, downtime_ms: int, mib_per_s: int | None) -> tuple[str, str]:
        """The domain can be changed by nobody until `confirm`. Answers its document, and a cookie.

        Its guest will stand still once what is left of its memory goes in so many milliseconds; memory, and
        each disk that goes along, take so much of the network, None: all.
        """
        speed = _UNBOUND_MIB_S if mib_per_s is None else mib_per_s
        self.allow_downtime(downtime_ms)
        self._on("bound a migration", lambda domain: domain.migrateSetMaxSpeed(speed))
        chosen = {"migrate_disks": self.disks} if self.disks else {}
        document, cookie = self._on(
            "begin a migration", lambda domain: phases.begin(domain, chosen, _flags(self.disks))
        )
        return document, cookie.decode()

    def allow_downtime(self, downtime_ms: int) -> None:
        """Its guest may stand still for so long; from any thread, while it is performed, too."""
        self._on("bound a downtime", lambda domain: domain.migrateSetMaxDowntime(downtime_ms))

    def perform(self, sockets: Sockets, cookie: str) -> str:
        """Have QEMU write all to these, where somebody listens, until its guest stands still.

        Errors: `AbortedError` too; the guest goes on then.
        """
        words = _words(sockets, self.disks)
        return self._on(
            "migrate it", lambda domain: phases.perform(domain, words, cookie.encode(), _flags(self.disks))
        ).decode()

    def confirm(self, *, failed: bool) -> None:
        """It is gone, or, `failed`, goes on as before `begin`."""
        self._on(
            "end its migration",
            lambda domain: phases.confirm(domain, {}, b"", _flags(self.disks), failed=failed),
        )

    def _on(self, what: str, act: Callable[[Handle], T]) -> T:
        return self.connection.call(what, lambda handle: act(handle.lookupByUUIDString(self.uuid)))


@dataclass(frozen=True, slots=True)
class Entrance:
    """A domain on its way in, by its name there."""

    connection: Connection
    name: str
    disks: Sequence[str] = ()

    def prepare(self, document: str, sockets: Sockets, cookie: str) -> str:
        """A domain described so waits for its state, and disks, at sockets that QEMU makes."""
        words = {**_words(sockets, self.disks), "destination_name": self.name, "destination_xml": document}
        return self.connection.call(
            "take a migration in",
            lambda handle: phases.prepare(handle, words, cookie.encode(), _flags(self.disks)),
        ).decode()

    def finish(self, cookie: str = "", *, failed: bool) -> None:
        """It is there and its guest stands still; or, `failed`, there is none."""
        words = {"destination_name": self.name}
        self.connection.call(
            "finish a migration",
            lambda handle: phases.finish(handle, words, cookie.encode(), _flags(self.disks), failed=failed),
        )


def _words(sockets: Sockets, disks: Sequence[str]) -> phases.Parameters:
    words: dict[str, str | Sequence[str]] = {"migrate_uri": f"unix://{sockets.state}"}
    if disks:
        words |= {"migrate_disks": disks, "disks_uri": f"unix://{sockets.disks}"}
    return words


def _flags(disks: Sequence[str]) -> int:
    flags = (
        libvirt.VIR_MIGRATE_LIVE
        | libvirt.VIR_MIGRATE_PAUSED
        | libvirt.VIR_MIGRATE_CHANGE_PROTECTION
        | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
        | libvirt.VIR_MIGRATE_UNSAFE  # whether disks are shared is said to us, and not guessed by libvirt
        | libvirt.VIR_MIGRATE_AUTO_CONVERGE  # a guest that writes faster than memory goes is slowed down
    )
    return int(flags | libvirt.VIR_MIGRATE_NON_SHARED_DISK) if disks else int(flags)
