"""Builders: how a XenAPI VM boots, as xenops has it.

Facts from xapi: xapi_xenops.ml (builder_of_vm, firmware_of_vm), helpers.ml (boot_method_of_vm).
"""

import posixpath
from collections.abc import Iterable

from schema.objects.disk import Vdi
from schema.objects.vm import (
    Bios,
    BuilderInfo,
    Cirrus,
    DirectBoot,
    Firmware,
    Hvm,
    HvmInfo,
    IgdPassthrough,
    IgdVideo,
    IndirectBoot,
    Pv,
    PvBoot,
    PvDirectBoot,
    Pvh,
    PvIndirectBoot,
    PvInfo,
    PvInPvh,
    StandardVga,
    Tpm,
    Uefi,
    UefiOnBoot,
    UefiVariables,
    VgpuVideo,
    VideoCard,
    Vtpm,
)

from xenops.toolstack.convert.disk import disk_of_vdi
from xenops.toolstack.convert.platform import is_true
from xenops.toolstack.convert.source import Source
from xenops.toolstack.failure import XenApiFailure, invalid_value
from xenops.toolstack.records import DomainType, VbdRecord, VdiRecord, VmRecord, VtpmRecord

VIDEO_MIB = 4
VGPU_VIDEO_MIB_MIN = 16
BOOT_ORDER = "cd"
"""What a guest boots from that says nothing: disk, then CD."""


def builder_of(
    source: Source, vm: VmRecord, timeoffset: str, *, has_pcis: bool, has_vgpus: bool
) -> BuilderInfo:
    """How a VM boots.

    Raises:
        XenApiFailure: its firmware, NVRAM, kernel or domain type makes no sense.
    """
    match vm.domain_type:
        case DomainType.HVM:
            return Hvm(info=_hvm(source, vm, timeoffset, has_pcis=has_pcis, has_vgpus=has_vgpus))
        case DomainType.PV:
            return Pv(info=_pv(source, vm))
        case DomainType.PV_IN_PVH:
            return PvInPvh(info=_pv(source, vm))
        case DomainType.PVH:
            return Pvh(info=_pv(source, vm))
        case DomainType.UNSPECIFIED:
            raise XenApiFailure("INTERNAL_ERROR", f"the VM {vm.uuid} has an unspecified domain type")


def firmware_of(vm: VmRecord) -> Firmware:
    """What boots a VM under a device model.

    Raises:
        XenApiFailure: INVALID_VALUE.
    """
    match vm.hvm_boot_params.get("firmware", "bios"):
        case "bios":
            return Bios()
        case "uefi":
            return Uefi(variables=_uefi_variables(vm))
        case other:
            raise invalid_value("HVM-boot-params['firmware']", other)


def _uefi_variables(vm: VmRecord) -> UefiVariables:
    on_boot = vm.nvram.get("EFI-variables-on-boot", "persist")
    if on_boot not in {"persist", "reset"}:
        raise invalid_value("NVRAM['EFI-variables-on-boot']", on_boot)
    backend = vm.nvram.get("EFI-variables-backend", "xapidb")
    return UefiVariables(on_boot=UefiOnBoot(on_boot.capitalize()), backend=backend)


def _hvm(source: Source, vm: VmRecord, timeoffset: str, *, has_pcis: bool, has_vgpus: bool) -> HvmInfo:
    platform = vm.platform
    emulations = vm.other_config.get("mtc_pci_emulations")
    return HvmInfo(
        hap=True,
        shadow_multiplier=vm.hvm_shadow_multiplier,
        timeoffset=timeoffset,
        video_mib=_video_mib(vm, has_vgpus=has_vgpus),
        video=_video(vm, has_vgpus=has_vgpus),
        acpi=is_true(platform, "acpi", default=True),
        serial=platform.get("hvm_serial", vm.other_config.get("hvm_serial", "pty")),
        keymap=platform.get("keymap"),
        pci_emulations=tuple(part.strip() for part in emulations.split(","))
        if emulations is not None
        else (),
        pci_passthrough=has_pcis,
        boot_order=vm.hvm_boot_params.get("order") or BOOT_ORDER,
        qemu_disk_cmdline=is_true(platform, "qemu_disk_cmdline", default=False),
        firmware=firmware_of(vm),
        tpm=_tpm(source, vm),
    )


def _video_mib(vm: VmRecord, *, has_vgpus: bool) -> int:
    asked = vm.platform.get("videoram", "")
    mib = int(asked) if asked.isdecimal() else VIDEO_MIB
    return max(mib, VGPU_VIDEO_MIB_MIN) if has_vgpus else mib


def _video(vm: VmRecord, *, has_vgpus: bool) -> VideoCard:
    if has_vgpus:
        return VgpuVideo()
    if is_true(vm.platform, "igd_passthrough", default=False):
        return IgdVideo(passthrough=IgdPassthrough.GVT_D)
    return StandardVga() if vm.platform.get("vga") == "std" else Cirrus()


def _tpm(source: Source, vm: VmRecord) -> Tpm | None:
    if len(vm.vtpms) > 1:
        raise XenApiFailure("INTERNAL_ERROR", f"the VM {vm.uuid} has several VTPMs: one is supported")
    return Vtpm(uuid=source.get(VtpmRecord, vm.vtpms[0]).uuid) if vm.vtpms else None


def _pv(source: Source, vm: VmRecord) -> PvInfo:
    return PvInfo(
        boot=_indirect(source, vm) if vm.pv_bootloader else _direct(source, vm),
        framebuffer=is_true(vm.platform, "pvfb", default=False),
        vncterm="disable_pv_vnc" not in vm.other_config,
        pci_passthrough="pci" in vm.other_config,
    )


def _direct(source: Source, vm: VmRecord) -> PvBoot:
    directories = source.site.kernel_directories
    ramdisk = _boot_file("ramdisk", vm.pv_ramdisk, directories) if vm.pv_ramdisk else None
    kernel = _boot_file("kernel", vm.pv_kernel, directories)
    return DirectBoot(boot=PvDirectBoot(kernel=kernel, cmdline=vm.pv_args, ramdisk=ramdisk))


def _boot_file(what: str, path: str, directories: Iterable[str]) -> str:
    """A path without ways around; whether it is a file there, only the host can tell."""
    plain = posixpath.normpath(path)
    if not any(plain.startswith(directory.rstrip("/") + "/") for directory in directories):
        allowed = "; ".join(directories)
        raise XenApiFailure(
            "INVALID_VALUE", what, path, f"Is not in any of the allowed kernel directories: [{allowed}]"
        )
    return plain


def _indirect(source: Source, vm: VmRecord) -> PvBoot:
    boot = PvIndirectBoot(
        bootloader=vm.pv_bootloader,
        extra_args=vm.pv_args,
        legacy_args=vm.pv_legacy_args,
        bootloader_args=vm.pv_bootloader_args,
        devices=tuple(_bootable(source, vm)),
    )
    return IndirectBoot(boot=boot)


def _bootable(source: Source, vm: VmRecord) -> Iterable[Vdi]:
    vbds = (source.get(VbdRecord, ref) for ref in vm.vbds)
    for vbd in vbds:
        if vbd.bootable and not vbd.empty:
            disk = disk_of_vdi(source, source.known(VdiRecord, vbd.vdi))
            if disk:
                yield disk
