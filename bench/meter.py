"""Meter: what each process of a stack, and the client, takes of processor and memory."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.local import LocalStack

CLIENT = "client"
"""This process."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and its children have used so far, and the memory that they have now."""

    processor_s: float
    resident_bytes: int


def usage(stack: LocalStack) -> dict[str, Usage]:
    """Each process by its name in the stack; the broker's node and what it has started count as one."""
    children = _children()
    found = {name: _of_tree(pid, children) for name, pid in stack.status().items() if pid is not None}
    return {**found, CLIENT: usage_alone(os.getpid())}


def usage_of(pids: Mapping[str, int]) -> dict[str, Usage]:
    """The same of processes that are no stack's."""
    children = _children()
    return {**{name: _of_tree(pid, children) for name, pid in pids.items()}, CLIENT: usage_alone(os.getpid())}


def usage_alone(pid: int) -> Usage:
    """One process without its children; one that has just ended has nothing."""
    try:
        fields = _stat(pid)
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return Usage(0.0, 0)
    ticks = sum(int(field) for field in fields[11:13])  # in user and in system mode
    return Usage(ticks / _TICKS_PER_S, resident * _PAGE_BYTES)


def tell_processor(before: Mapping[str, Usage], after: Mapping[str, Usage], tasks: int) -> None:
    """Print the processor time of each process between two looks, for each of so many tasks."""
    used = {name: (after[name].processor_s - before[name].processor_s) / tasks * 1e3 for name in after}
    ours = sum(ms for name, ms in used.items() if name not in {CLIENT, "broker"})
    parts = ", ".join(f"{name} {ms:.2f}" for name, ms in used.items())
    print(f"  processor, ms for each: all services {ours:.2f}; {parts}", flush=True)


def _of_tree(pid: int, children: Mapping[int, list[int]]) -> Usage:
    below = [_of_tree(child, children) for child in children.get(pid, ())]
    own = usage_alone(pid)
    return Usage(
        own.processor_s + sum(each.processor_s for each in below),
        own.resident_bytes + sum(each.resident_bytes for each in below),
    )


def _children() -> dict[int, list[int]]:
    """The children of every process."""
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int(_stat(int(entry.name))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            found.setdefault(parent, []).append(int(entry.name))
    return found


def _stat(pid: int) -> list[str]:
    """The fields of `/proc/PID/stat` after the name, which may hold spaces and parentheses."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
