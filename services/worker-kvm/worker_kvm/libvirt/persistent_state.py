"""Persistent state: what libvirt keeps of a VM beyond its domain: UEFI variables, the TPM's state; no I/O."""

import uuid

from schema.objects.vm import Vm
from virt.xml import Element, node

from worker_kvm.qemu.firmware import shipped
from worker_kvm.qemu.tpm import has_tpm


def uuid_of(vm: str) -> str | None:
    """A VM's id as a UUID, if it is one."""
    try:
        found = str(uuid.UUID(vm))
    except ValueError:
        return None
    return found if found == vm.lower() else None


def identity(instance: str, vm: str) -> str:
    """The UUID that libvirt knows a VM by, in all its lives."""
    return uuid_of(vm) or str(uuid.uuid5(uuid.NAMESPACE_URL, f"xenops:{instance}/{vm}"))


def name_of(identity_: str) -> str:
    """What operators see in `virsh list`; libvirt names logs and variables by it."""
    return f"xenops-{identity_}"


def is_kept(vm: Vm) -> bool:
    """Whether libvirt keeps anything of it."""
    return shipped(vm) is not None or has_tpm(vm)


def loader_nodes(vm: Vm, *, is_secure: bool) -> list[Element]:
    """The firmware in `<os>`; libvirt makes a VM's variables of the new ones, where there are none yet."""
    files = shipped(vm)
    if files is None:
        return []
    secure = "yes" if is_secure else "no"
    return [
        node("loader", text=str(files.code), readonly="yes", secure=secure, type="pflash"),
        node("nvram", template=str(files.variables)),
    ]


def tpm_nodes(vm: Vm) -> list[Element]:
    """The TPM, whose state outlives a domain that is transient."""
    if not has_tpm(vm):
        return []
    return [
        node("tpm", node("backend", type="emulator", version="2.0", persistent_state="yes"), model="tpm-crb")
    ]


def forgetting_document(identity_: str, vm: Vm) -> Element:
    """The least by which libvirt knows what to remove."""
    machine = node("type", text="hvm", arch="x86_64", machine="q35")
    return node(
        "domain",
        node("name", text=name_of(identity_)),
        node("uuid", text=identity_),
        node("memory", text="65536", unit="KiB"),
        node("os", machine, *loader_nodes(vm, is_secure=False)),
        node("features", node("acpi")),
        node("devices", *tpm_nodes(vm)),
        type="qemu",
    )
