"""Saved: a domain's document from elsewhere, changed to what the VM has here, and read for what it had.

An image or another host has written it: what it may say is how the machine is put together, never what of
this host is used.
"""

import re
from collections.abc import Iterable

from engine.hosted.machine import Source
from schema.fault import internal_error
from schema.objects.vm import Vm
from virt.mark import mark
from virt.xml import Element, attribute, node

from worker_kvm.card import Card, card_named
from worker_kvm.kind import Kind, kind_named
from worker_kvm.libvirt.document import (
    CLOCK,
    QEMU,
    Surroundings,
    disk_node,
    nic_node,
    options_node,
    system_node,
)
from worker_kvm.libvirt.machine import Disk, Domain, Nic
from worker_kvm.libvirt.persistent_state import tpm_nodes

_MACHINE = re.compile(r"pc-(?:q35|i440fx)-[0-9.]+")

_NAMED = frozenset({"disk", "interface"})
_DEVICES = _NAMED | {
    *("emulator", "controller", "serial", "console", "channel", "input", "graphics", "video", "audio"),
    *("memballoon", "panic", "tpm"),
}
"""What libvirt makes of our documents has these."""

_NUMBER = re.compile(r"-?[0-9]{1,12}")

_NIC_ALIAS = re.compile(r"ua-nic\d+-(\d+)")


def uuid_in(document: Element) -> str:
    """What libvirt knew it by, and must again."""
    return document.findtext("uuid") or ""


def kind_in(document: Element) -> Kind:
    """Of what kind the machine is; one that is none of ours becomes a q35, which libvirt then refuses."""
    return kind_named(_machine_in(document)) or Kind.Q35


def _machine_in(document: Element) -> str:
    """QEMU's name of the machine, or nothing."""
    described = document.find("./os/type")
    return "" if described is None else described.get("machine", "")


def clock_in(document: Element) -> int | None:
    """How far from UTC its guest's clock is; None: one of a worker before, which did not say."""
    said = attribute(document, CLOCK, "adjustment") or ""
    return int(said) if _NUMBER.fullmatch(said) else None


def vcpus_in(document: Element) -> int | None:
    """How many vCPUs its guest has by now, also those that were plugged; None: it does not say."""
    said = attribute(document, "vcpu", "current") or document.findtext("vcpu") or ""
    return int(said) if _NUMBER.fullmatch(said) else None


def moved(document: Element, domain: Domain, around: Surroundings) -> Element:
    """With the files, bridges, sockets and limits of now; the machine that the guest sees stays the same.

    Errors: `Internal_error`, it has what none of our domains has.
    """
    _refuse_foreign(document, domain)
    _replace_named_files(document, domain.vm)
    metadata = document.find("metadata")
    if metadata is not None:
        document.remove(metadata)
    document.append(node("metadata", mark(around.instance, around.vm, domain.life)))
    for source in document.findall("./devices/serial/source"):
        source.set("path", str(around.console))
    for source in document.findall("./devices/console/source"):
        source.set("path", str(around.console))
    for disk in domain.disks:
        for found in _named(document, "disk", disk.alias):
            _replace(found, disk_node(disk), ("source", "backingStore", "iotune"), ("source", "iotune"))
    for nic in domain.nics:
        for found in _named(document, "interface", nic.alias):
            written = nic_node(nic, bridged=around.bridged)
            _replace(found, written, ("source", "link", "target"), ("source", "link", "target"))
    return document


def _refuse_foreign(document: Element, domain: Domain) -> None:
    """Devices are those that our domains have; disks and interfaces, those that the VM has."""
    ours = {disk.alias for disk in domain.disks} | {nic.alias for nic in domain.nics}
    for device in document.findall("./devices/*"):
        alias = attribute(device, "alias", "name")
        if device.tag not in _DEVICES or (device.tag in _NAMED and alias not in ours):
            raise internal_error(
                f"Cannot take in VM {domain.vm.id}: its machine has {device.tag} {alias or ''}, which the VM "
                "has not here: add it"
            )


def _replace_named_files(document: Element, vm: Vm) -> None:
    """Kernel, firmware, emulator, its options, sockets and TPM are this host's, by what the VM is here."""
    machine = _machine_in(document)
    for child in list(document):
        if child.tag == "os" or child.tag.startswith(f"{{{QEMU}}}"):
            document.remove(child)
    document.append(system_node(vm, machine if _MACHINE.fullmatch(machine) else Kind.Q35))
    document.append(options_node())
    devices = document.find("devices")
    if devices is None:
        return
    for device in list(devices):
        if device.tag in {"emulator", "tpm"}:
            devices.remove(device)
    devices.extend(tpm_nodes(vm))
    for channel in devices.findall("channel"):
        for source in channel.findall("source"):
            channel.remove(source)
    for listen in devices.findall("./graphics/listen"):
        listen.attrib.pop("socket", None)


def placed_disk(document: Element, disk: Disk) -> Disk | None:
    """A disk on the bus that the saved machine has it on; None: it has it not."""
    for bus in ("scsi", "sata", "ide"):
        candidate = disk.model_copy(update={"bus": bus})
        if any(_named(document, "disk", candidate.alias)):
            return candidate
    return None


def source_of(document: Element, disk: Disk) -> Source | None:
    """The file that the saved machine has a disk on; None: it is no file."""
    paths = (attribute(found, "source", "file") for found in _named(document, "disk", disk.alias))
    path = next(filter(None, paths), None)
    return None if path is None else Source(path=path, format="raw")


def placed_nic(document: Element, nic: Nic) -> Nic | None:
    """An interface by the name and with the card that the saved machine has; None: it has none of its MAC."""
    for found in document.findall("./devices/interface"):
        if (attribute(found, "mac", "address") or "").lower() == nic.vif.mac.lower():
            match = _NIC_ALIAS.fullmatch(attribute(found, "alias", "name") or "")
            if match:
                card = card_named(attribute(found, "model", "type") or "") or Card.VIRTIO
                return nic.model_copy(update={"plugs": int(match[1]), "card": card})
    return None


def _named(document: Element, kind: str, alias: str) -> list[Element]:
    return [
        found for found in document.findall(f"./devices/{kind}") if attribute(found, "alias", "name") == alias
    ]


def _replace(found: Element, written: Element, old: Iterable[str], new: Iterable[str]) -> None:
    for tag in old:
        for child in found.findall(tag):
            found.remove(child)
    for tag in new:
        found.extend(written.findall(tag))
    found.set("type", written.get("type", ""))
