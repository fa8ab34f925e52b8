"""Bootable: what a VM on libvirt must have so that it can start."""

from engine.refusals import refuse_unless_there
from schema.fault import unimplemented
from schema.objects.vm import Bios, DirectBoot, Hvm, Vm


def refuse_unless_bootable(vm: Vm) -> None:
    """Errors: `Internal_error` that names the file, `Unimplemented`."""
    match vm.ty:
        case Hvm(info=info):
            if not isinstance(info.firmware, Bios):
                raise unimplemented("VM.start with UEFI firmware")
            if info.tpm is not None:
                raise unimplemented("VM.start with a TPM")
        case other:
            if isinstance(other.info.boot, DirectBoot):
                refuse_unless_there(vm, other.info.boot.boot)
