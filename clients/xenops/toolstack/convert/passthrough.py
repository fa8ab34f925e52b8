"""PCI, virtual GPUs and USB: host devices that XenAPI gives to a VM, as xenops has them.

Facts from xapi: xapi_xenops.ml (MD.pcis_of_vm, MD.of_*_vgpu, MD.of_vusb), pciops.ml, vgpuops.ml.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from schema.objects.pci import Pci, PciAddress
from schema.objects.vgpu import (
    GvtG,
    GvtGVgpu,
    MxGpu,
    MxGpuVgpu,
    Nvidia,
    NvidiaVgpu,
    Vgpu,
    VgpuImplementation,
)
from schema.objects.vusb import Vusb
from schema.wire.types import DeviceId

from xenops.toolstack.convert.source import Source
from xenops.toolstack.failure import XenApiFailure, invalid_value
from xenops.toolstack.records import (
    PciRecord,
    PgpuRecord,
    PusbRecord,
    UsbGroupRecord,
    VgpuRecord,
    VgpuTypeRecord,
    VmRecord,
    VusbRecord,
)

NVIDIA_FIRST_SLOT = 11
"""Where the guest finds its first NVIDIA GPU."""

_ADDRESS = re.compile(r"([0-9a-fA-F]{1,4}):([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})\.([0-9a-fA-F])")


def pci_address(text: str) -> PciAddress:
    """An address as `0000:03:00.0`.

    Raises:
        XenApiFailure: INVALID_VALUE, it is none.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise invalid_value("PCI.pci_id", text)
    domain, bus, dev, fn = (int(part, 16) for part in match.groups())
    return PciAddress(domain=domain, bus=bus, dev=dev, fn=fn)


def address_text(address: PciAddress) -> str:
    """The reverse of `pci_address`."""
    return f"{address.domain:04x}:{address.bus:02x}:{address.dev:02x}.{address.fn:x}"


def pcis_of(source: Source, vm: VmRecord, functions: Iterable[PciAddress]) -> tuple[Pci, ...]:
    """A VM's PCI devices in the order in which they are plugged.

    First what virtual GPUs bring with them, then `functions`, the virtual functions of its interfaces,
    last what `other_config:pci` names. The positions count from 0.
    """
    addresses = (
        *_in_order(_of_vgpus(source, vm)),
        *functions,
        *_in_order(reversed(list(_of_other_config(vm.other_config)))),
    )
    return tuple(
        Pci(id=DeviceId(vm.uuid, address_text(address)), position=position, address=address)
        for position, address in enumerate(addresses)
    )


def _in_order(numbered: Iterable[tuple[int, PciAddress]]) -> list[PciAddress]:
    return [address for _, address in sorted(numbered, key=lambda pair: pair[0])]


def _of_vgpus(source: Source, vm: VmRecord) -> Iterator[tuple[int, PciAddress]]:
    for vgpu in (source.known(VgpuRecord, ref) for ref in vm.vgpus):
        pci = source.known(PciRecord, vgpu.pci) if vgpu else None
        if pci is None:
            continue
        others = (source.get(PciRecord, ref) for ref in pci.dependencies)
        texts = sorted(address_text(pci_address(one.pci_id)) for one in (pci, *others))
        yield from zip(count(), map(pci_address, texts), strict=False)


def _of_other_config(other_config: Mapping[str, str]) -> Iterator[tuple[int, PciAddress]]:
    """`0/0000:03:00.0,1/0000:04:00.0`: the numbers order the devices; what cannot be read is no device."""
    for part in other_config.get("pci", "").split(","):
        number, _, text = part.strip().partition("/")
        if number.isdecimal() and _ADDRESS.fullmatch(text):
            yield int(number), pci_address(text)


def vgpus_of(source: Source, vm: VmRecord) -> tuple[Vgpu, ...]:
    """A VM's virtual GPUs; one that is passed through whole is a PCI device instead.

    Raises:
        XenApiFailure: one of them has no physical GPU yet, or its type lacks what its maker needs.
    """
    found = []
    for ref in vm.vgpus:
        vgpu = source.get(VgpuRecord, ref)
        kind = source.get(VgpuTypeRecord, vgpu.type)
        if kind.implementation != "passthrough":
            found.append(_vgpu(source, vm, vgpu, kind))
    return tuple(reversed(found))


def _vgpu(source: Source, vm: VmRecord, vgpu: VgpuRecord, kind: VgpuTypeRecord) -> Vgpu:
    pgpu = source.known(PgpuRecord, vgpu.scheduled_to_be_resident_on) or source.known(
        PgpuRecord, vgpu.resident_on
    )
    if pgpu is None:
        raise XenApiFailure("INTERNAL_ERROR", f"the VGPU {vgpu.uuid} has no physical GPU: schedule it first")
    function = source.known(PciRecord, vgpu.pci) if kind.implementation == "nvidia_sriov" else None
    return Vgpu(
        id=DeviceId(vm.uuid, vgpu.device),
        position=int(vgpu.device),
        virtual_pci_address=pci_address(function.pci_id) if function else None,
        physical_pci_address=pci_address(source.get(PciRecord, pgpu.pci).pci_id),
        implementation=_implementation(vgpu, kind),
    )


def _implementation(vgpu: VgpuRecord, kind: VgpuTypeRecord) -> VgpuImplementation:
    config = kind.internal_config
    if kind.implementation == "gvt_g":
        return GvtGVgpu(
            config=GvtG(
                low_gm_sz=_setting(config, "vgt_low_gm_sz"),
                high_gm_sz=_setting(config, "vgt_high_gm_sz"),
                fence_sz=_setting(config, "vgt_fence_sz"),
            )
        )
    if kind.implementation == "mxgpu":
        per_pgpu = _setting(config, "vgpus_per_pgpu")
        return MxGpuVgpu(config=MxGpu(vgpus_per_pgpu=per_pgpu, framebufferbytes=kind.framebuffer_size))
    slot = int(vgpu.device) + NVIDIA_FIRST_SLOT
    return NvidiaVgpu(
        config=Nvidia(
            config_file=config.get("config_file"),
            virtual_pci_address=PciAddress(domain=0, bus=0, dev=slot, fn=0),
            type_id=config.get("type_id"),
            uuid=vgpu.uuid,
            vclass=config.get("vclass"),
            extra_args=vgpu.extra_args,
        )
    )


def _setting(config: Mapping[str, str], key: str) -> int:
    text = config.get(key, "")
    if not text.isdecimal():
        raise invalid_value(f"VGPU_type.internal_config:{key}", text)
    return int(text)


def vusbs_of(source: Source, vm: VmRecord) -> tuple[Vusb, ...]:
    """A VM's attached USB devices, each the first of its group."""
    vusbs = (source.get(VusbRecord, ref) for ref in vm.vusbs)
    pusbs = (pusb_of(source, vusb) for vusb in vusbs if vusb.currently_attached)
    return tuple(_vusb(vm, pusb) for pusb in pusbs)


def pusb_of(source: Source, vusb: VusbRecord) -> PusbRecord:
    """The device that a VUSB stands for.

    Raises:
        XenApiFailure: INTERNAL_ERROR, its group is empty.
    """
    group = source.get(UsbGroupRecord, vusb.usb_group)
    if not group.pusbs:
        raise XenApiFailure("INTERNAL_ERROR", f"the USB group {group.uuid} of the VUSB {vusb.uuid} is empty")
    return source.get(PusbRecord, group.pusbs[0])


def _vusb(vm: VmRecord, pusb: PusbRecord) -> Vusb:
    bus, port = pusb.path.split("-")[:2]
    return Vusb(
        id=DeviceId(vm.uuid, vusb_name(pusb)),
        hostbus=bus,
        hostport=port,
        version=pusb.version,
        path=pusb.path,
        speed=pusb.speed,
    )


def vusb_name(pusb: PusbRecord) -> str:
    """What xenops calls a USB device within its VM."""
    return f"vusb{pusb.path}"
