"""Ending: what a guest wants that has ended, by QEMU's events, or by its log when nobody listened."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from schema.atomics.vm import DomainAction

from worker_kvm.qemu.machine import Disk

_TRACED = re.compile(r"qemu_system_shutdown_request reason=(\d+)")

_ABOUT = re.compile(r"-(?:blockdev|device) (?P<argument>\{.*?\}): (?P<words>.*)")
_NODE = re.compile(r'"(?:node-name|drive)": "([^"]*)"')
_OPENED = re.compile(r" \[/dev/fdset/\d+\]")

_CAUSES = (
    "none",
    "host-error",
    "host-qmp-quit",
    "host-qmp-system-reset",
    "host-signal",
    "host-ui",
    "guest-shutdown",
    "guest-reset",
    "guest-panic",
    "subsystem-reset",
    "snapshot-load",
)
"""QEMU's ShutdownCause, in the order of its numbers (qapi/run-state.json)."""

_LOG_TAIL_BYTES = 65_536


def action_of(cause: str) -> DomainAction:
    """What a domain asks for whose guest ended so; `cause` as in the event SHUTDOWN."""
    match cause:
        case "guest-reset" | "subsystem-reset":
            return DomainAction.REBOOT
        case "guest-shutdown" | "host-signal" | "host-ui":
            return DomainAction.POWEROFF
        case _:
            return DomainAction.CRASHDUMP


def logged_action(log: Path, untraced: DomainAction) -> DomainAction:
    """The same from the last trace of it in QEMU's log; `untraced` when there is none."""
    return traced_action(tail(log), untraced)


def traced_action(text: str, untraced: DomainAction) -> DomainAction:
    """The same from a log's text."""
    numbers = _TRACED.findall(text)
    if not numbers:
        return untraced
    number = int(numbers[-1])
    return action_of(_CAUSES[number] if number < len(_CAUSES) else "none")


def tail(log: Path) -> str:
    """The end of a log; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def complaint(log: Path, disks: Iterable[Disk] = ()) -> str:
    """What QEMU said, in one line, without what we had it trace; these disks are called as clients do."""
    names = {disk.slot.node: _named(disk) for disk in disks}
    lines = (line.partition(": ")[2] or line for line in tail(log).splitlines())
    return "; ".join(_about_disks(line, names) for line in lines if line and not _TRACED.search(line))


def _named(disk: Disk) -> str:
    source = "" if disk.source is None else f", {disk.source.path}"
    return f"the VBD {disk.vbd.id.device}{source}"


def _about_disks(line: str, names: Mapping[str, str]) -> str:
    """A line about an argument of ours that is for a disk, with the disk's name in its place."""
    found = _ABOUT.fullmatch(line)
    node = None if found is None else _NODE.search(found["argument"])
    name = None if node is None else names.get(node[1])
    return _OPENED.sub("", line if found is None or name is None else f"{name}: {found['words']}")
