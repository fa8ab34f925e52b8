"""Bootable: what a VM on libvirt must have so that it can start."""

from engine.refusals import refuse_unless_there
from schema.fault import internal_error
from schema.objects.vm import DirectBoot, Hvm, Vm

from worker_kvm.kind import Kind, kind_of, refuse_unfit
from worker_kvm.qemu.firmware import refuse_if_missing
from worker_kvm.qemu.tpm import refuse_without_swtpm


def refuse_unless_bootable(vm: Vm) -> None:
    """Errors: `Internal_error` that names the file or the program; those of `refuse_unfit`."""
    refuse_unfit(vm)
    if kind_of(vm) is Kind.MICROVM:
        raise internal_error(
            f"VM {vm.id} is a microvm, which is not made on libvirt: give it q35 or pc as the machine of its "
            "platform, or use the backend qemu"
        )
    refuse_if_missing(vm)
    refuse_without_swtpm(vm)
    match vm.ty:
        case Hvm():
            pass  # what its firmware finds is its own
        case other:
            if isinstance(other.info.boot, DirectBoot):
                refuse_unless_there(vm, other.info.boot.boot)
