"""Kernel: what of a VM's configuration backend classic can boot, and the sentence for what it cannot."""

from engine.refusals import refuse_unless_there
from schema.fault import unimplemented
from schema.objects.vm import DirectBoot, Hvm, Pv, PvDirectBoot, Pvh, PvInPvh, Vm

from worker_xen.classic.hvm import places
from worker_xen.classic.hvm.command import hvm_info
from worker_xen.libxc.values import Kernel


def kernel_of(vm: Vm) -> Kernel:
    """The kernel that a guest boots directly; of an HVM guest what starts its firmware.

    Errors: `Unimplemented` for another kind of guest; `Internal_error` that names the file.
    """
    if isinstance(vm.ty, Hvm):
        hvm_info(vm)
        return Kernel(places.hvmloader(), firmware=places.bios())
    boot = _direct_boot(vm.ty)
    refuse_unless_there(vm, boot)
    return Kernel(boot.kernel, boot.ramdisk, boot.cmdline)


def _direct_boot(ty: Pv | Pvh | PvInPvh) -> PvDirectBoot:
    match ty:
        case Pv(info=info) | Pvh(info=info) if isinstance(info.boot, DirectBoot):
            return info.boot.boot
        case Pv() | Pvh():
            raise unimplemented("VM.start through a bootloader on classic")
        case PvInPvh():
            raise unimplemented("VM.start of a PV guest in PVH on classic")
