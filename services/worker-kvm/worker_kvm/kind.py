"""Kind: which kind of machine QEMU makes of a VM, where its devices are there, and what it cannot have."""

import re
from enum import StrEnum

from schema.fault import XenopsError, internal_error
from schema.objects.vm import DirectBoot, Hvm, Vm

from worker_kvm.qemu.firmware import wants_secure_boot

MACHINE_KEY = "machine"
"""In a VM's platform data: the kind of its machine."""

PC_SLOT = 0x10
"""The first slot of a `pc` for interfaces and devices of the host, above those that each machine has."""


class Kind(StrEnum):
    """What a VM's machine may be, in QEMU's words."""

    Q35 = "q35"
    """PCI Express, SATA; what a VM is that does not say."""
    PC = "pc"
    """PCI, IDE: a computer of 1996, which older systems know (i440FX)."""
    MICROVM = "microvm"
    """No PCI at all, for a kernel that is given: it begins sooner, and has what it begins with."""


_NAMED = re.compile(r"(?:pc-)?(q35|i440fx)(?:-[0-9.]+)?|(pc|microvm)")
_KINDS = {"q35": Kind.Q35, "i440fx": Kind.PC, "pc": Kind.PC, "microvm": Kind.MICROVM}


def kind_of(vm: Vm) -> Kind:
    """Which kind a VM's machine is to be. Errors: `Internal_error`, its platform names none."""
    named = dict(vm.platformdata).get(MACHINE_KEY, Kind.Q35)
    try:
        return Kind(named)
    except ValueError as error:
        kinds = ", ".join(Kind)
        raise internal_error(
            f"VM {vm.id} has {named!r} as the {MACHINE_KEY} of its platform: give one of {kinds}"
        ) from error


def kind_named(name: str) -> Kind | None:
    """The kind of a machine that QEMU names with its version, as `pc-i440fx-7.2`; None: none of ours."""
    found = _NAMED.fullmatch(name)
    return None if found is None else _KINDS[found[1] or found[2]]


def refuse_unfit(vm: Vm) -> None:
    """Errors: `Internal_error`, its machine cannot be of the kind that its platform names."""
    kind = kind_of(vm)
    if kind is Kind.PC and wants_secure_boot(vm):
        raise internal_error(
            f"VM {vm.id} has secure boot, whose keys its firmware keeps apart on a q35 alone: give it that "
            "as the machine of its platform"
        )
    boots_a_kernel = not isinstance(vm.ty, Hvm) and isinstance(vm.ty.info.boot, DirectBoot)
    if kind is Kind.MICROVM and not boots_a_kernel:
        raise internal_error(
            f"VM {vm.id} is a microvm, which boots a kernel that it is given, and nothing else: give it one, "
            "or q35 as the machine of its platform"
        )


def refuse_late(kind: Kind, vm: str, what: str) -> None:
    """Errors: `Internal_error`, a machine of that kind keeps what it began with of `what`."""
    if kind is Kind.MICROVM:
        raise fixed(vm, what)


def fixed(vm: str, what: str) -> XenopsError:
    """What is said where a microvm would have to get something, or lose it, while it runs."""
    return internal_error(
        f"VM {vm} is a microvm, which has the {what} that it began with: shut it down first, or give it q35 "
        "as the machine of its platform"
    )
