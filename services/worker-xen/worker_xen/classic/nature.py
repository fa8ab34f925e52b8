"""Nature: what a VM's configuration makes of its domain from the beginning."""

from schema.fault import internal_error
from schema.objects.vm import Hvm, Pvh, Vm

from worker_xen.classic.features import features_of
from worker_xen.classic.hvm.command import hvm_info, video_mib
from worker_xen.libxc.values import Container, Nature, TscMode
from worker_xen.viridian import enlightenments, mask_of

TSC_MODE, FEATURESET = "tsc_mode", "featureset"
"""Keys of `Vm.platformdata`, as xapi writes them: who reads the clock, and which features the CPU has."""


def nature_of(vm: Vm, *, has_pcis: bool = False) -> Nature:
    """The nature of a VM's domain, which has PCI devices from the beginning, or may get some.

    Errors: `Internal_error` that names the key of `platformdata`.
    """
    platform = dict(vm.platformdata)
    container = _container(vm)
    info = hvm_info(vm) if container is Container.HVM else None
    mode = platform.get(TSC_MODE)
    return Nature(
        container=container,
        vcpus=vm.vcpu_max,
        memory_bytes_max=vm.memory_static_max,
        ssidref=vm.ssidref,
        tsc_mode=_usual(container) if mode is None else _tsc_mode(vm, mode),
        features=_features(vm, platform.get(FEATURESET, "")),
        gets_pcis=has_pcis or vm.ty.info.pci_passthrough,
        video_mib=0 if info is None else video_mib(info),
        clock_offset_s=0 if info is None else int(info.timeoffset or 0),
        viridian=mask_of(enlightenments(vm)),
    )


def _container(vm: Vm) -> Container:
    if isinstance(vm.ty, Hvm):
        return Container.HVM
    return Container.PVH if isinstance(vm.ty, Pvh) else Container.PV


def _usual(container: Container) -> TscMode:
    """The processor does it for a PVH guest, as by Xen's `tsc_mode="native"`."""
    return TscMode.NATIVE if container is Container.PVH else TscMode.DEFAULT


def _tsc_mode(vm: Vm, text: str) -> TscMode:
    try:
        return TscMode(int(text))
    except ValueError as error:
        raise internal_error(
            f"VM {vm.id} has the platform key {TSC_MODE}={text!r}: give 0 (as Xen likes), 1 (emulated) or 2 "
            "(native)"
        ) from error


def _features(vm: Vm, text: str) -> tuple[int, ...]:
    try:
        return tuple(features_of(text))
    except ValueError as error:
        raise internal_error(
            f"VM {vm.id} has the platform key {FEATURESET}={text!r}, which is no CPU policy ({error}): give "
            "words of 32 bits as HOST.stat tells them"
        ) from error
