"""Guest agent: what libvirt has heard of a guest's agent, as that of a guest on QEMU; values and no I/O.

Libvirt has flat names: `os.pretty-name`, `hostname`, `if.count`, `if.0.hwaddr`, `if.0.addr.1.addr`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from worker_kvm.qemu.guest_agent import (
    ADDRESSES_MAX,
    INTERFACES_MAX,
    Told,
    addresses,
    memory_kib,
    system_keys,
)

_OS = "os."
_KIB = 1 << 10


def told_of(info: Mapping[str, Any], memory: Mapping[str, int]) -> Told:
    """From what a guest has told, which may be anything, and what its balloon's driver counts, in KiB."""
    system = {name.removeprefix(_OS): value for name, value in info.items() if name.startswith(_OS)}
    stats = {
        f"stat-{name}": memory[key] * _KIB
        for name, key in (
            ("total-memory", "available"),
            ("free-memory", "unused"),
            ("available-memory", "usable"),
        )
        if key in memory
    }
    return Told(
        system_keys(system, {"host-name": info.get("hostname")}),
        addresses(list(_interfaces(info))),
        memory_kib({"stats": stats}),
    )


def _interfaces(info: Mapping[str, Any]) -> Iterator[Mapping[str, object]]:
    for number in range(_count(info, "if.count", INTERFACES_MAX)):
        name = f"if.{number}"
        count = _count(info, f"{name}.addr.count", 4 * ADDRESSES_MAX)
        found = [{"ip-address": info.get(f"{name}.addr.{each}.addr")} for each in range(count)]
        yield {"hardware-address": info.get(f"{name}.hwaddr"), "ip-addresses": found}


def _count(info: Mapping[str, Any], name: str, most: int) -> int:
    count = info.get(name, 0)
    return min(count, most) if isinstance(count, int) else 0
