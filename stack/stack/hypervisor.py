"""Hypervisor: whether QEMU runs VMs on this machine, and how these reach a network."""

from dataclasses import dataclass, replace

from worker_kvm.accelerator import QemuMissingError, choose_accelerator, find_qemu, qemu_version
from worker_kvm.network import NetworkError, make_namespace, remove_namespace
from worker_kvm.qemu.sweep import end_domains
from worker_kvm.qemu.user import RightsError, User, find_user, launcher
from worker_kvm.settings import BackendName

from stack.layout import Layout
from stack.processes import StackError
from stack.remains import has_namespace
from stack.shape import BRIDGE, QEMU_INSTANCE, SIMULATOR_INSTANCE, WORKER_KVM, WORKER_SIM, Network, Shape

QEMU_USERS = "2000000000-2000065535"
"""Numbers that no account of a host has, nor a container's."""


@dataclass(frozen=True, slots=True)
class Found:
    """What this machine can do: the shape of a stack for it, and why, in sentences."""

    shape: Shape
    remarks: tuple[str, ...]


def look(layout: Layout) -> Found:
    """Look for QEMU and for the right to make a bridge; makes the bridge's network namespace if it can."""
    try:
        qemu = find_qemu()
        version = qemu_version(qemu)
    except QemuMissingError as error:
        return Found(simulator_only(), (f"QEMU cannot run here, the simulator serves alone: {error}",))
    user = _user()
    accelerator = choose_accelerator(qemu, launcher(user, 0))
    network, where = _network(layout)
    workers = {WORKER_KVM: QEMU_INSTANCE, WORKER_SIM: SIMULATOR_INSTANCE}
    whose = "as this user" if user is None else f"each with a user of its own among {user.name}"
    remark = f"QEMU {version} runs the VMs, {_HOW[accelerator]}, {whose}"
    shape = Shape(workers, network, accelerator, qemu_user="" if user is None else user.name)
    return Found(shape, (remark, where))


def _user() -> User | None:
    """Users for QEMUs; None: only root has others to give."""
    try:
        return find_user(QEMU_USERS)
    except RightsError:
        return None


_HOW = {"kvm": "on KVM", "tcg": "emulating their processors, as KVM boots no guest here"}


def _network(layout: Layout) -> tuple[Network, str]:
    """What VMs have for a network, and why."""
    try:
        open_network(layout)
    except NetworkError as error:
        return Network.USER, f"no bridge can be made ({error}), so VMs have QEMU's user networking"
    return Network.BRIDGE, f"their bridge {BRIDGE} is in the network namespace {layout.namespace}"


def by_libvirt(found: Found) -> Found:
    """The same with a libvirtd that runs QEMU, as its own user's. Errors: `StackError`, no QEMU runs here."""
    if WORKER_KVM not in found.shape.workers:
        raise StackError(f"BACKEND=libvirt wants QEMU. {found.remarks[0]}")
    shape = replace(found.shape, qemu_user="", backend=BackendName.LIBVIRT)
    first, *others = found.remarks
    remark = f"{first.partition(', each')[0]}, by a libvirtd of the stack's own"
    return Found(shape, (remark, *others))


def simulator_only() -> Shape:
    """A stack that needs nothing of the machine."""
    return Shape({WORKER_SIM: SIMULATOR_INSTANCE})


def open_network(layout: Layout) -> None:
    """Make the VMs' bridge, unless it is there. Errors: `NetworkError`."""
    make_namespace(layout.namespace, BRIDGE)


def end_vms(layout: Layout) -> list[str]:
    """End every VM, which outlive their worker, and their bridge; answers the VMs' ids."""
    ended = end_domains(layout.vms) if layout.vms.exists() else []
    if has_namespace(layout):
        remove_namespace(layout.namespace)
    return ended
