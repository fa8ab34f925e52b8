"""Remains: what of a stack is still to be seen on the machine, whatever its pid files say."""

import os
from pathlib import Path

from bus.pids import start_time

from stack.layout import Layout
from stack.processes import MARK, Running
from stack.shape import BRIDGE

NAMESPACES = Path("/var/run/netns")
"""Where network namespaces with a name are."""

_INTERFACES = Path("/sys/class/net")


def processes(layout: Layout) -> list[Running]:
    """The processes that a stack started, and those that these started, but for this one."""
    mark = f"{MARK}={layout.root}".encode()
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    marked = [pid for pid in pids if pid != os.getpid() and mark in _environment(pid)]
    return [Running(pid, started) for pid in marked if (started := start_time(pid)) is not None]


def has_namespace(layout: Layout) -> bool:
    """Whether the network namespace of the stack is there."""
    return (NAMESPACES / layout.namespace).exists()


def surroundings(places: tuple[Path, ...]) -> frozenset[str]:
    """What is outside the root that a stack could add to: interfaces, and files at those places.

    To be compared before and after. Other programs make files there, too, so only names count that are the
    broker's or QEMU's.
    """
    files = [str(path) for place in places for path in place.glob("*") if _is_suspect(path.name)]
    bridges = [f"interface {path.name}" for path in _INTERFACES.glob(BRIDGE)]
    return frozenset((*files, *bridges))


def _is_suspect(name: str) -> bool:
    words = ("rabbit", "erl", "qemu", "vl.", "epmd", "core")
    return any(name.lstrip(".").startswith(word) for word in words)


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return []
