"""Values: what goes through libxl's door, and what comes out when it stays shut."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Json = Mapping[str, Any]


class LibxlError(Exception):
    """Libxl cannot do it: `what` was attempted; the words are its own."""

    def __init__(self, what: str, code: int, words: str) -> None:
        super().__init__(f"{what}: {words or f'libxl says no more than {code}'}")
        self.code = code


class AbortedError(LibxlError):
    """The operation was told to stop, and has."""


class NoSuchDomainError(LibxlError):
    """There is no domain of that number."""


@dataclass(frozen=True, slots=True)
class DomainInfo:
    """A domain as the hypervisor knows it; `reason` is why its guest ended, `poweroff` or such.

    One that is `dying` was destroyed, and keeps memory that others have mapped until they let go of it.
    """

    domid: int
    uuid: str
    paused: bool
    reason: str | None
    memory_bytes: int
    vcpus_online: int
    dying: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    """A device of a domain, in libxl's JSON."""

    kind: Literal["disk", "nic", "pci"]
    config: Json


def domain_info(found: Json) -> DomainInfo:
    """What is zero or false, libxl does not say."""
    return DomainInfo(
        domid=int(found.get("domid", 0)),
        uuid=str(found.get("uuid", "")),
        paused=bool(found.get("paused")),
        reason=str(found.get("shutdown_reason", "poweroff")) if found.get("shutdown") else None,
        memory_bytes=int(found.get("current_memkb", 0)) * 1024,
        vcpus_online=int(found.get("vcpu_online", 0)),
        dying=bool(found.get("dying")),
    )
