"""Config: a domain and its devices in libxl's own JSON, from values alone."""

import json
from typing import Any

from engine.refusals import bridge_of
from schema.fault import unimplemented
from schema.objects.host import NumaAffinityPolicy
from schema.objects.pci import PciAddress
from schema.objects.vbd import VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import Bios, DirectBoot, Hvm, HvmInfo, Pv, Pvh, PvInfo, PvInPvh, StandardVga, Vm

from worker_xen.scheduler_params import bound_to, share_of
from worker_xen.sleep import can_sleep
from worker_xen.usb import CONTROLLER
from worker_xen.viridian import enlightenments
from worker_xen.xenlight.machine import Disk, Domain, Nic

KIB = 1024

_STD_MIB_MIN, _CIRRUS_MIB_MIN = 16, 8
"""Memory of a picture: libxl refuses less, which the same cards of the original's would do with."""


def domain_config(name: str, domain: Domain) -> dict[str, Any]:
    """A domain with all that is plugged; `name` is the VM's id."""
    vm = domain.vm
    return {
        "c_info": {
            "type": domain_kind(vm),
            "name": name,
            "uuid": domain.uuid,
            "run_hotplug_scripts": "True",
            "xsdata": dict(vm.xsdata),
            "platformdata": dict(vm.platformdata),
            **({"passthrough": "enabled"} if domain.gets_pcis else {}),
        },
        "b_info": {
            "max_vcpus": vm.vcpu_max,
            "avail_vcpus": list(range(domain.vcpus)),
            "max_memkb": vm.memory_static_max // KIB,
            "target_memkb": domain.memory_target_bytes // KIB,
            "sched_params": scheduling(vm),
            **booting(vm),
            **({"extra_hvm": ["-device", json.dumps(CONTROLLER)]} if domain.has_usb else {}),
        },
        "disks": [disk_config(disk) for disk in domain.disks if disk.activated and is_given(vm, disk)],
        "nics": [nic_config(vm, nic) for nic in domain.nics],
        "on_poweroff": "preserve",
        "on_reboot": "preserve",
        "on_watchdog": "preserve",
        "on_crash": "preserve",
    }


def domain_kind(vm: Vm) -> str:
    """Libxl's word for it."""
    match vm.ty:
        case Hvm():
            return "hvm"
        case Pv():
            return "pv"
        case Pvh() | PvInPvh():
            return "pvh"


def booting(vm: Vm) -> dict[str, Any]:
    """How it boots. Errors: `Unimplemented`."""
    match vm.ty:
        case Hvm(info=info):
            return _firmware(vm, info)
        case Pv(info=info):
            return {**_kernel(info), "type.pv": {}}
        case Pvh(info=info):
            return {**_kernel(info), "tsc_mode": "native", "type.pvh": {}}
        case PvInPvh():
            raise unimplemented("VM.start of PV in PVH")


def _kernel(info: PvInfo) -> dict[str, Any]:
    if not isinstance(info.boot, DirectBoot):
        raise unimplemented("VM.start with a boot loader")
    boot = info.boot.boot
    ramdisk = {} if boot.ramdisk is None else {"ramdisk": boot.ramdisk}
    return {"kernel": boot.kernel, "cmdline": boot.cmdline, **ramdisk}


def _firmware(vm: Vm, info: HvmInfo) -> dict[str, Any]:
    if not isinstance(info.firmware, Bios):
        raise unimplemented("VM.start with UEFI firmware")
    if info.tpm is not None:
        raise unimplemented("VM.start with a TPM")
    is_std, shown = isinstance(info.video, StandardVga), enlightenments(vm)
    details = {
        "acpi": info.acpi,
        "acpi_s3": can_sleep(vm),
        "hap": info.hap,
        "boot": info.boot_order or "cd",
        "serial": "pty",
        "vga": {"kind": "std" if is_std else "cirrus"},
        "vnc": {"enable": "True", "listen": info.vnc_ip or "127.0.0.1", "findunused": "True"},
        **({"keymap": info.keymap} if info.keymap else {}),
        **({"viridian_enable": [int(part) for part in shown]} if shown else {}),
    }
    video_mib = max(info.video_mib, _STD_MIB_MIN if is_std else _CIRRUS_MIB_MIN)
    return {
        "device_model_version": "qemu_xen",
        "tsc_mode": "native",
        "type.hvm": details,
        "video_memkb": video_mib * KIB,
    }


def scheduling(vm: Vm) -> dict[str, int]:
    """Weight and cap under credit2."""
    share = share_of(vm)
    return {} if share is None else {"weight": share[0], "cap": share[1]}


def placing(vm: Vm, policy: NumaAffinityPolicy, cpus: int) -> dict[str, Any]:
    """Where it runs: on CPUs that its owner allows, of the host's; else on NUMA nodes that libxl chooses."""
    masks = bound_to(vm, cpus)
    if masks:
        return {"numa_placement": "False", "vcpu_hard_affinity": masks}
    return {"numa_placement": str(policy is not NumaAffinityPolicy.ANY)}


def is_given(vm: Vm, disk: Disk) -> bool:
    """Whether the guest gets a device for it: without emulation there is no drive without a medium."""
    return disk.source is not None or isinstance(vm.ty, Hvm)


def disk_config(disk: Disk) -> dict[str, Any]:
    """A disk or a drive."""
    is_drive = disk.vbd.ty is VbdType.CDROM
    source = disk.source
    return {
        "vdev": disk.name,
        "format": "empty" if source is None else source.format,
        "readwrite": int(disk.vbd.mode is VbdMode.READ_WRITE and not is_drive),
        "removable": int(is_drive),
        "is_cdrom": int(is_drive),
        **({} if source is None else {"pdev_path": source.path}),
    }


def nic_config(vm: Vm, nic: Nic) -> dict[str, Any]:
    """An interface."""
    vif = nic.vif
    words: dict[str, Any] = {
        "devid": vif.position,
        "mac": vif.mac,
        "mtu": vif.mtu,
        "bridge": bridge_of(vif.backend),
        "nictype": "vif_ioemu" if isinstance(vm.ty, Hvm) else "vif",
    }
    return {**words, **_rate(vif)}


def _rate(vif: Vif) -> dict[str, int]:
    """KiB a second in slices of microseconds, as the original takes them; libxl wants a slice's bytes."""
    if vif.rate is None:
        return {}
    kib_per_s, slice_us = vif.rate
    return {
        "rate_bytes_per_interval": kib_per_s * KIB * slice_us // 1_000_000,
        "rate_interval_usecs": slice_us,
    }


def pci_config(address: PciAddress, *, msi_translate: bool, power_management: bool) -> dict[str, Any]:
    """A PCI device of the host."""
    return {
        "domain": address.domain,
        "bus": address.bus,
        "dev": address.dev,
        "func": address.fn,
        "msitranslate": str(msi_translate),
        "power_mgmt": str(power_management),
    }
