"""Birth: what xenstore is told of a domain when it is made, and when it has its first two rings."""

from schema.objects.vm import Hvm, Vm

from worker_xen.classic.hvm.command import video_mib
from worker_xen.classic.machine import Domain
from worker_xen.libxc.values import Rings
from worker_xen.xenstore.daemon import Daemon
from worker_xen.xenstore.layout import Birth, HvmNodes, Ring, ring_nodes

_KIB = 1024


def birth_of(domid: int, domain: Domain) -> Birth:
    """A domain as its guest shall find it."""
    vm = domain.vm
    return Birth(
        domid=domid,
        uuid=domain.uuid,
        name=vm.name,
        vcpus=domain.vcpus,
        vcpu_max=vm.vcpu_max,
        memory_kib=domain.memory_target_bytes // _KIB,
        memory_kib_max=vm.memory_static_max // _KIB,
        memory_kib_min=vm.memory_dynamic_min // _KIB,
        xsdata=vm.xsdata,
        platformdata=vm.platformdata,
        hvm=_hvm(vm),
    )


def _hvm(vm: Vm) -> HvmNodes | None:
    if not isinstance(vm.ty, Hvm):
        return None
    info = vm.ty.info
    return HvmNodes(video_mib(info) * _KIB, info.acpi, info.timeoffset)


def introduce(store: Daemon, domid: int, rings: Rings) -> None:
    """Let the daemons of xenstore and console talk with the guest."""
    console = Ring(rings.console_port, rings.console_frame)
    store.write(ring_nodes(domid, Ring(rings.store_port, rings.store_frame), console))
    store.introduce(domid, rings.store_frame, rings.store_port)
