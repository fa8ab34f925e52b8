"""Kernel: what of a VM's configuration backend classic can boot, and the sentence for what it cannot."""

from collections.abc import Iterator
from contextlib import contextmanager

from engine.backend import Execution
from engine.refusals import refuse_unless_there
from schema.fault import unimplemented
from schema.objects.vm import DirectBoot, Hvm, IndirectBoot, PvInPvh, Vm

from worker_xen.classic.boot.bootloader import Asked, Booted, Bootloaders, first_disk
from worker_xen.classic.hvm import places
from worker_xen.classic.hvm.command import hvm_info
from worker_xen.libxc.values import Kernel


def refuse_unbootable(vm: Vm) -> None:
    """Before anything is made of it: see that it can be booted, as far as that shows without its disk.

    Errors: `Unimplemented` for another kind of guest; `No_bootable_device`; `Internal_error` that names the
    file.
    """
    match _boot_of(vm):
        case None:
            _firmware(vm)
        case DirectBoot(boot=boot):
            refuse_unless_there(vm, boot)
        case IndirectBoot(boot=boot):
            first_disk(boot)


@contextmanager
def kernel_of(vm: Vm, domid: int, bootloaders: Bootloaders, execution: Execution) -> Iterator[Booted]:
    """What a guest boots, there while inside: its kernel, or, of an HVM guest, what starts its firmware.

    Errors: as of `refuse_unbootable`, and those of `Bootloaders.fetched`.
    """
    match _boot_of(vm):
        case None:
            yield Booted(_firmware(vm))
        case DirectBoot(boot=boot):
            refuse_unless_there(vm, boot)
            yield Booted(Kernel(boot.kernel, boot.ramdisk, boot.cmdline))
        case IndirectBoot(boot=boot):
            with bootloaders.fetched(Asked(vm.id, domid, boot), execution) as booted:
                yield booted


def _boot_of(vm: Vm) -> DirectBoot | IndirectBoot | None:
    """None: it boots by its firmware."""
    if isinstance(vm.ty, PvInPvh):
        raise unimplemented("VM.start of a PV guest in PVH on classic")
    return None if isinstance(vm.ty, Hvm) else vm.ty.info.boot


def _firmware(vm: Vm) -> Kernel:
    hvm_info(vm)
    return Kernel(places.hvmloader(), firmware=places.bios())
