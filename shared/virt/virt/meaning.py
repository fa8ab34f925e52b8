"""Meaning: what libvirt says by numbers, of domains and of what happens to them, as values."""

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import libvirt  # type: ignore[import-untyped]

from virt.values import (
    AgentHeard,
    Ballooned,
    ClockSet,
    DeviceRemoved,
    DeviceStays,
    DomainInfo,
    DomainStatus,
    Ended,
    How,
    Panicked,
    Paused,
    Resumed,
    Slept,
    TrayMoved,
    VirtEvent,
)

KIB = 1024

Handle = Any
"""libvirt-python has no types: a connection or a domain of its."""


def info_of(domain: Handle, mark: str) -> DomainInfo:
    """A domain as it is now; `mark` is the XML namespace of our element in its metadata."""
    state, memory_kib = _usage_of(domain)
    has_ended = state == libvirt.VIR_DOMAIN_SHUTOFF
    return DomainInfo(
        uuid=domain.UUIDString(),
        name=domain.name(),
        status=_STATUSES.get(state, DomainStatus.ENDED),
        memory_bytes=memory_kib * KIB,
        mark=_mark_of(domain, mark),
        number=domain.ID(),
        asleep=state == libvirt.VIR_DOMAIN_PMSUSPENDED,
        how=_HOW_LEFT.get(domain.state()[1], How.SHUT_DOWN) if has_ended else None,
    )


def version(number: int) -> str:
    """A version as people write it."""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"


def _usage_of(domain: Handle) -> tuple[int, int]:
    """Its state, and how many KiB of memory it has.

    One whose guest has ended is known to libvirt until all of it is gone, but on Xen not how much it has.
    """
    try:
        state, _, memory_kib, *_ = domain.info()
    except libvirt.libvirtError:
        state = domain.state()[0]
        if state != libvirt.VIR_DOMAIN_SHUTOFF:
            raise
        return state, 0
    return state, memory_kib


def _mark_of(domain: Handle, mark: str) -> str | None:
    try:
        return str(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, mark, 0))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise


_STATUSES = {
    libvirt.VIR_DOMAIN_RUNNING: DomainStatus.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: DomainStatus.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: DomainStatus.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: DomainStatus.RUNNING,
    libvirt.VIR_DOMAIN_SHUTDOWN: DomainStatus.RUNNING,  # its event comes when it is gone
    libvirt.VIR_DOMAIN_CRASHED: DomainStatus.CRASHED,
}

_HOW_LEFT = {
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: How.CRASHED,
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: How.DESTROYED,
    libvirt.VIR_DOMAIN_SHUTOFF_SAVED: How.SAVED,
}

_HOW = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: How.SHUT_DOWN,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: How.DESTROYED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED: How.SAVED,
}


def _lifecycle(*heard: Any) -> None:
    _, domain, event, detail, connection = heard
    uuid = domain.UUIDString()
    told: VirtEvent | None = None
    match event:
        case libvirt.VIR_DOMAIN_EVENT_STOPPED:
            told = Ended(uuid, _HOW.get(detail, How.CRASHED))
        case libvirt.VIR_DOMAIN_EVENT_CRASHED:
            told = Panicked(uuid)
        case libvirt.VIR_DOMAIN_EVENT_SUSPENDED:
            told = Paused(uuid)
        case libvirt.VIR_DOMAIN_EVENT_RESUMED:
            told = Resumed(uuid)
        case _:
            pass  # that it started, or was defined, changes nothing here
    connection.tell(told)


HEARD: dict[int, Callable[..., None]] = {
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE: _lifecycle,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: lambda _, domain, alias, connection: connection.tell(
        DeviceRemoved(domain.UUIDString(), alias)
    ),
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED: lambda _, domain, alias, connection: connection.tell(
        DeviceStays(domain.UUIDString(), alias)
    ),
    libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE: lambda _, domain, alias, reason, connection: connection.tell(
        TrayMoved(domain.UUIDString(), alias, reason == libvirt.VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN)
    ),
    libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE: lambda _, domain, size_kib, connection: connection.tell(
        Ballooned(domain.UUIDString(), size_kib * KIB)
    ),
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE: lambda _, domain, state, _reason, connection: (
        connection.tell(
            AgentHeard(
                domain.UUIDString(), state == libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED
            )
        )
    ),
    libvirt.VIR_DOMAIN_EVENT_ID_RTC_CHANGE: lambda _, domain, offset_s, connection: connection.tell(
        ClockSet(domain.UUIDString(), offset_s)
    ),
    libvirt.VIR_DOMAIN_EVENT_ID_PMSUSPEND: lambda _, domain, _reason, connection: connection.tell(
        Slept(domain.UUIDString(), asleep=True)
    ),
    libvirt.VIR_DOMAIN_EVENT_ID_PMWAKEUP: lambda _, domain, _reason, connection: connection.tell(
        Slept(domain.UUIDString(), asleep=False)
    ),
}


@cache
def run_events() -> threading.Thread:
    """Libvirt has one event loop for all of a process: run it."""
    libvirt.registerErrorHandler(lambda *_: None, None)  # errors are raised, not printed
    libvirt.virEventRegisterDefaultImpl()

    def run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    thread = threading.Thread(target=run, name="libvirt-events", daemon=True)
    thread.start()
    return thread
