"""Viridian: what of Microsoft's hypervisor interface an HVM guest finds, for Windows; values and no I/O."""

from collections.abc import Mapping
from enum import IntEnum

from schema.fault import internal_error
from schema.objects.vm import Hvm, Vm


class Enlightenment(IntEnum):
    """A part of the interface, by its number for libxl; from the third on, also its bit for Xen."""

    BASE = 0
    """What the guest cannot do without: its identity, its vCPUs' numbers, hypercalls."""
    FREQUENCIES = 1
    """How fast the processor's clock and its interrupt controller's run."""
    TIME_REF_COUNT = 2
    REFERENCE_TSC = 3
    HCALL_REMOTE_TLB_FLUSH = 4
    APIC_ASSIST = 5
    CRASH_CTL = 6
    SYNIC = 7
    """Interrupts of the interface's own, by which `STIMER` is told."""
    STIMER = 8


ALL = "viridian"
"""A key of `Vm.platformdata`, as xapi writes it: without it the guest finds nothing of the interface."""

PARTS: Mapping[str, tuple[Enlightenment, ...]] = {
    "viridian_time_ref_count": (Enlightenment.TIME_REF_COUNT,),
    "viridian_reference_tsc": (Enlightenment.REFERENCE_TSC,),
    "viridian_hcall_remote_tlb_flush": (Enlightenment.HCALL_REMOTE_TLB_FLUSH,),
    "viridian_apic_assist": (Enlightenment.APIC_ASSIST,),
    "viridian_crash_ctl": (Enlightenment.CRASH_CTL,),
    "viridian_stimer": (Enlightenment.SYNIC, Enlightenment.STIMER),
}
"""What keys beside it add."""

_WORDS = {"true": True, "1": True, "false": False, "0": False, "": False}


def enlightenments(vm: Vm) -> tuple[Enlightenment, ...]:
    """What a VM's guest finds, in order. Errors: `Internal_error` that names the key of `platformdata`."""
    if not isinstance(vm.ty, Hvm) or not _says(vm, ALL):
        return ()
    parts = (part for key, parts in PARTS.items() if _says(vm, key) for part in parts)
    return (Enlightenment.BASE, Enlightenment.FREQUENCIES, *sorted(parts))


def mask_of(found: tuple[Enlightenment, ...]) -> int:
    """The same as Xen's parameter of a domain, whose second bit would take the frequencies away."""
    return sum(1 << part for part in found if part is not Enlightenment.FREQUENCIES)


def _says(vm: Vm, key: str) -> bool:
    word = dict(vm.platformdata).get(key, "")
    if word not in _WORDS:
        raise internal_error(f"VM {vm.id} has the platform key {key}={word[:20]!r}: give true or false")
    return _WORDS[word]
