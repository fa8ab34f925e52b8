"""Bootable: what a VM on libvirt must have so that it can start."""

import os
from contextlib import suppress
from pathlib import Path

from schema.fault import XenopsError, internal_error
from schema.objects.errors import Unimplemented
from schema.objects.vm import Bios, DirectBoot, Hvm, Vm


def refuse_unless_bootable(vm: Vm) -> None:
    """Errors: `Internal_error` that names the file, `Unimplemented`."""
    match vm.ty:
        case Hvm(info=info):
            if not isinstance(info.firmware, Bios):
                raise XenopsError(Unimplemented(what="VM.start with UEFI firmware"))
            if info.tpm is not None:
                raise XenopsError(Unimplemented(what="VM.start with a TPM"))
        case other:
            if isinstance(other.info.boot, DirectBoot):
                boot = other.info.boot.boot
                _refuse_unless_readable(vm, "kernel", boot.kernel)
                if boot.ramdisk is not None:
                    _refuse_unless_readable(vm, "ramdisk", boot.ramdisk)


def _refuse_unless_readable(vm: Vm, what: str, path: str) -> None:
    reason = "it is no file"
    with suppress(OSError, ValueError):
        if Path(path).is_file():
            if os.access(path, os.R_OK):
                return
            reason = "it cannot be read"
    raise internal_error(f"Cannot build VM {vm.id}: its {what} is {path!r}, and {reason}: see to that file")
