"""Layout: what a domain is in xenstore, so that its guest and the daemons find what they look for.

Paths and keys are those of the original and of Xen's `docs/misc/xenstore-paths`: facts, no code.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from worker_xen.xenstore.tree import Node, below, domain_path, owned_by, readable_by, vm_path

CONSOLE_BYTES_MAX = 1 << 20
"""What the console's daemon keeps for a reader that does not come."""

GUESTS_OWN = ("attr", "control", "data", "device", "drivers", "error", "feature", "messages", "vm-data")
"""Where the guest may write."""

XSDATA_PREFIXES = ("vm-data", "FIST")
"""What clients may have a guest shown."""

_FEATURES = ("multiprocessor-suspend", "xs_reset_watches")


@dataclass(frozen=True, slots=True)
class Birth:
    """A domain that begins to be."""

    domid: int
    uuid: str
    name: str
    vcpus: int
    vcpu_max: int
    memory_kib: int
    memory_kib_max: int
    memory_kib_min: int
    xsdata: tuple[tuple[str, str], ...] = ()
    platformdata: tuple[tuple[str, str], ...] = ()
    hvm: "HvmNodes | None" = None


@dataclass(frozen=True, slots=True)
class HvmNodes:
    """What hvmloader and a guest's drivers are told of the hardware that a device model shows."""

    video_kib: int
    has_acpi: bool = True
    clock_offset: str = ""


@dataclass(frozen=True, slots=True)
class Ring:
    """One of a guest's first two rings."""

    port: int
    frame: int


def birth_nodes(birth: Birth) -> tuple[Node, ...]:
    """All that is there before the guest has a kernel; nodes inherit what those above them permit."""
    path, vm = domain_path(birth.domid), vm_path(birth.uuid)
    return (
        Node(path, "", readable_by(birth.domid)),
        *below(path, (("vm", vm), ("name", birth.name), ("domid", birth.domid))),
        Node(vm, "", readable_by(birth.domid)),
        *below(vm, (("uuid", birth.uuid), ("name", birth.name))),
        Node(f"{vm}/domains/{birth.domid}", path),
        *(Node(f"{path}/{name}", "", owned_by(birth.domid)) for name in GUESTS_OWN),
        *below(f"{path}/control", ((f"platform-feature-{name}", 1) for name in _FEATURES)),
        *below(f"{path}/memory", _memory(birth)),
        *vcpu_nodes(birth.domid, birth.vcpus, birth.vcpu_max),
        *_hvm(birth),
        *below(f"{path}/platform", birth.platformdata),
        *xsdata_nodes(birth.domid, birth.xsdata),
    )


def vcpu_nodes(domid: int, vcpus: int, vcpu_max: int) -> tuple[Node, ...]:
    """Which vCPUs the guest shall use."""
    path = f"{domain_path(domid)}/cpu"
    return tuple(
        Node(f"{path}/{number}/availability", "online" if number < vcpus else "offline")
        for number in range(vcpu_max)
    )


def xsdata_nodes(domid: int, xsdata: Iterable[tuple[str, str]]) -> tuple[Node, ...]:
    """What clients have the guest shown; keys elsewhere are passed over, as by the original."""
    path = domain_path(domid)
    return tuple(
        Node(f"{path}/{key}", value)
        for key, value in xsdata
        if any(key == prefix or key.startswith(f"{prefix}/") for prefix in XSDATA_PREFIXES)
    )


def ring_nodes(domid: int, store: Ring, console: Ring) -> tuple[Node, ...]:
    """Where the daemons of xenstore and console find the guest."""
    path = domain_path(domid)
    return (
        *below(f"{path}/store", (("port", store.port), ("ring-ref", store.frame))),
        *below(
            f"{path}/console",
            (
                ("type", "xenconsoled"),
                ("output", "pty"),
                ("limit", CONSOLE_BYTES_MAX),
                ("port", console.port),
                ("ring-ref", console.frame),
            ),
        ),
    )


def rename_nodes(domid: int, uuid: str, name: str) -> tuple[Node, ...]:
    """The same domain by another id."""
    path, vm = domain_path(domid), vm_path(uuid)
    return (
        *below(path, (("vm", vm), ("name", name))),
        Node(vm, "", readable_by(domid)),
        *below(vm, (("uuid", uuid), ("name", name))),
        Node(f"{vm}/domains/{domid}", path),
    )


def _hvm(birth: Birth) -> tuple[Node, ...]:
    """Keys that hvmloader reads, of libxl's and the original's; the guest gets no sleep of ACPI's."""
    if birth.hvm is None:
        return ()
    path, hvm = domain_path(birth.domid), birth.hvm
    sleeps = dict.fromkeys(("acpi_s3", "acpi_s4", "acpi_laptop_slate"), 0)
    return (
        *below(f"{path}/hvmloader", (("bios", "seabios"), ("allow-memory-relocate", 0))),
        *below(f"{path}/platform", (("acpi", int(hvm.has_acpi)), *sleeps.items())),
        Node(f"{path}/platform/device-model", "qemu_xen"),
        Node(f"{path}/memory/videoram", str(hvm.video_kib)),
        Node(f"{vm_path(birth.uuid)}/rtc/timeoffset", hvm.clock_offset),
    )


def serial_nodes(domid: int, terminal: str) -> tuple[Node, ...]:
    """Where an HVM guest's serial port can be read."""
    return (Node(f"{domain_path(domid)}/serial/0/tty", terminal),)


def _memory(birth: Birth) -> tuple[tuple[str, object], ...]:
    return (
        ("static-max", birth.memory_kib_max),
        ("dynamic-max", birth.memory_kib),
        ("dynamic-min", birth.memory_kib_min),
        ("target", birth.memory_kib),
        ("initial-reservation", birth.memory_kib),
    )
