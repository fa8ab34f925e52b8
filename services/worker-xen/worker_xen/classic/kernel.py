"""Kernel: what of a VM's configuration backend classic can boot, and the sentence for what it cannot."""

import os
from contextlib import suppress
from pathlib import Path

from schema.fault import XenopsError, internal_error
from schema.objects.errors import Unimplemented
from schema.objects.vm import DirectBoot, Hvm, Pv, PvDirectBoot, Pvh, PvInPvh, Vm

from worker_xen.libxc.values import Kernel


def kernel_of(vm: Vm) -> Kernel:
    """The kernel of a paravirtual guest.

    Errors: `Unimplemented` for another kind of guest; `Internal_error` that names the file.
    """
    boot = _direct_boot(vm)
    _refuse_unless_readable(vm, "kernel", boot.kernel)
    if boot.ramdisk is not None:
        _refuse_unless_readable(vm, "ramdisk", boot.ramdisk)
    return Kernel(boot.kernel, boot.ramdisk, boot.cmdline)


def _direct_boot(vm: Vm) -> PvDirectBoot:
    match vm.ty:
        case Pv(info=info) if isinstance(info.boot, DirectBoot):
            return info.boot.boot
        case Pv():
            raise _unimplemented("through a bootloader")
        case Hvm():
            raise _unimplemented("of an HVM guest")
        case Pvh():
            raise _unimplemented("of a PVH guest")
        case PvInPvh():
            raise _unimplemented("of a PV guest in PVH")


def _unimplemented(what: str) -> XenopsError:
    return XenopsError(Unimplemented(what=f"VM.start {what} on classic"))


def _refuse_unless_readable(vm: Vm, what: str, path: str) -> None:
    reason = "it is no file"
    with suppress(OSError, ValueError):
        if Path(path).is_file():
            if os.access(path, os.R_OK):
                return
            reason = "it cannot be read"
    raise internal_error(f"Cannot build VM {vm.id}: its {what} is {path!r}, and {reason}: see to that file")
