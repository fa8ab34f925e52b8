"""vCPUs: how many a guest has while it runs; QEMU plugs and unplugs them one by one."""

from dataclasses import dataclass
from typing import Any

from schema.fault import XenopsError, internal_error
from schema.objects.errors import InvalidVcpus
from schema.objects.vm import Vm

from worker_kvm.accelerator import Accelerator
from worker_kvm.qemu.live import Live

UNPLUG_TIMEOUT_S = 20.0
"""How long a guest may take to move what runs on a vCPU elsewhere and let go of it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place for a vCPU: what to plug there; `device` is what is plugged, None: nothing or a fixed one."""

    is_filled: bool
    device: str | None
    words: dict[str, object]


def refuse_vcpus(vm: Vm, vcpus: int) -> None:
    """Errors: `Invalid_vcpus` with the most that the VM may have."""
    maximum = max(vm.vcpu_max, vm.vcpus)
    if not 1 <= vcpus <= maximum:
        raise XenopsError(InvalidVcpus(count=maximum))


def refuse_to_take(accelerator: Accelerator) -> None:
    """Errors: `Internal_error` where QEMU emulates.

    There its guest lets go of a vCPU, but QEMU 7.2 tells nobody, and when it gets another one then it ends:
    "double free or corruption".
    """
    if accelerator == "tcg":
        raise internal_error(
            "A VM whose processors QEMU emulates keeps a vCPU until it is started anew: it would not outlive "
            "the next one that it gets; change its configuration"
        )


def places(found: list[dict[str, Any]]) -> list[Place]:
    """The places of a machine in the guest's order, from QMP's `query-hotpluggable-cpus`."""
    return [_place(entry) for entry in sorted(found, key=lambda entry: _order(entry["props"]))]


def set_vcpus(live: Live, vcpus: int, accelerator: Accelerator) -> None:
    """Plug or unplug until there are as many; there are already, nothing to do.

    Errors: `Internal_error` when a vCPU was there from the start, or the guest does not let go of it; those
    of `refuse_to_take`.
    """
    known = places(live.do("query-hotpluggable-cpus"))
    filled = [place for place in known if place.is_filled]
    for place in [place for place in known if not place.is_filled][: max(0, vcpus - len(filled))]:
        live.do("device_add", place.words)
    for place in reversed(filled[vcpus:]):
        _unplug(live, place, accelerator)


def _unplug(live: Live, place: Place, accelerator: Accelerator) -> None:
    if place.device is None:
        raise internal_error(
            "A VM on QEMU cannot have fewer vCPUs than it started with until it is started anew: change its "
            "configuration"
        )
    refuse_to_take(accelerator)
    if not live.remove_device(place.device, UNPLUG_TIMEOUT_S):
        raise internal_error(
            f"The guest did not let go of a vCPU within {UNPLUG_TIMEOUT_S:g} s: let it run, and take what is "
            "bound to that vCPU off it; then try again"
        )


def _place(entry: dict[str, Any]) -> Place:
    parent, _, name = str(entry.get("qom-path", "")).rpartition("/")
    device = "vcpu-" + "-".join(map(str, _order(entry["props"])))
    return Place(
        is_filled="qom-path" in entry,
        device=name if parent == "/machine/peripheral" else None,
        words={"driver": entry["type"], "id": device, **entry["props"]},
    )


def _order(props: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(props.get(level, 0)) for level in ("socket-id", "die-id", "core-id", "thread-id"))
