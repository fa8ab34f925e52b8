"""Saved: a suspended domain's document, changed to what the VM has now, and read for what it had then."""

import re
from collections.abc import Iterable

from virt.mark import mark
from virt.xml import Element, attribute, node

from worker_kvm.libvirt.document import Surroundings, disk_node, nic_node
from worker_kvm.libvirt.machine import Disk, Domain, Nic

_NIC_ALIAS = re.compile(r"ua-nic\d+-(\d+)")


def uuid_in(document: Element) -> str:
    """What libvirt knew it by, and must again."""
    return document.findtext("uuid") or ""


def moved(document: Element, domain: Domain, around: Surroundings) -> Element:
    """With the files, bridges and sockets of now; the machine that the guest sees stays the same."""
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
            _replace(found, disk_node(disk), ("source", "backingStore"), ("source",))
    for nic in domain.nics:
        for found in _named(document, "interface", nic.alias):
            written = nic_node(nic, bridged=around.bridged)
            _replace(found, written, ("source", "link", "target"), ("source", "link", "target"))
    return document


def placed_disk(document: Element, disk: Disk) -> Disk | None:
    """A disk on the bus that the saved machine has it on; None: it has it not."""
    for bus in ("scsi", "sata"):
        candidate = disk.model_copy(update={"bus": bus})
        if any(_named(document, "disk", candidate.alias)):
            return candidate
    return None


def placed_nic(document: Element, nic: Nic) -> Nic | None:
    """An interface by the name that the saved machine has it by, found by its MAC; None: it has it not."""
    for found in document.findall("./devices/interface"):
        if (attribute(found, "mac", "address") or "").lower() == nic.vif.mac.lower():
            match = _NIC_ALIAS.fullmatch(attribute(found, "alias", "name") or "")
            if match:
                return nic.model_copy(update={"plugs": int(match[1])})
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
