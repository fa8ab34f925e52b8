"""Suspend: a VM's memory into a file and out of it, by libvirt; there is a whole VM at the end or none."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.backend import Devices, Execution
from engine.hosted.localdisk import refuse_unless_file
from engine.hosted.machine import Source
from engine.hosted.sent_file import receive_image, send_image, size_max
from engine.hosted.storage.place import Place
from engine.image import Image, ImageStream
from schema.fault import XenopsError, internal_error
from schema.ids import DeviceId
from schema.objects.errors import FailedToStartEmulator
from schema.objects.vm import Vm
from virt.handover import host_of
from virt.seal import check_seal, seal
from virt.spoken import configured, spoken
from virt.values import VirtError
from virt.xml import Element, parsed, written

from worker_kvm.hostdevices import PORTS
from worker_kvm.libvirt.arriving import Arrival
from worker_kvm.libvirt.departing import depart, stay
from worker_kvm.libvirt.filing import fetch, file_away
from worker_kvm.libvirt.hypervisor import Hypervisor, Settle
from worker_kvm.libvirt.jobs import Job, run_job
from worker_kvm.libvirt.live import Live
from worker_kvm.libvirt.machine import Domain, Machine, Stage, attached, plugged
from worker_kvm.libvirt.migration_protocol import Offer, SendsFile, WantsFile, talking, unexpected
from worker_kvm.libvirt.saved import (
    clock_in,
    kind_in,
    moved,
    placed_disk,
    placed_nic,
    source_of,
    uuid_in,
    vcpus_in,
)
from worker_kvm.passthrough import refuse_to_leave
from worker_kvm.qemu.arriving import is_aside, left_behind
from worker_kvm.qemu.content import OVERLAYS, OverlaidContent
from worker_kvm.qemu.sleeping import refuse_asleep
from worker_kvm.watched import Status

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Coming:
    """A domain from elsewhere: what it was like, and how libvirt makes one by a document of this host's."""

    document: Element
    make: Callable[[Domain, str, Settle], None]


def assert_can_save(hypervisor: Hypervisor, vm: Vm) -> None:
    """Errors: `Does_not_exist`, `Domain_not_built`; `Internal_error`, it sleeps, or see `refuse_to_leave`."""
    domain = hypervisor.look(vm.id).living()
    if domain.saved is None:
        refuse_to_leave(domain)
        refuse_left(vm.id, domain, hypervisor.devices(hypervisor.running(vm.id).uuid))
        refuse_asleep(vm.id, hypervisor.running(vm.id), "saved")


def refuse_left(vm: str, domain: Domain, document: Element) -> None:
    """Errors: `Internal_error`, the guest has a card that was taken by force, and that no VM would have."""
    known = {nic.alias for nic in domain.nics}
    found = {alias.get("name") for alias in document.findall("./devices/interface/alias")}
    if found - known:
        raise internal_error(
            f"VM {vm} cannot be suspended or migrated: its guest has not let go of a VIF that was taken by "
            "force; let it run until it has"
        )


def save_vm(hypervisor: Hypervisor, execution: Execution, vm: Vm, image: Image) -> None:
    """Write the image; see `VmVerbs.save`. Broken off, libvirt lets the guest go on where it stood.

    To another host it goes while the guest runs; or, where libvirt cannot do that, when it is saved here.
    Errors: `Unimplemented` to what is no file and no device, `Cancelled`, `Internal_error`.
    """
    domain = hypervisor.look(vm.id).living()
    if domain.saved is not None or domain.moving:
        return
    assert_can_save(hypervisor, vm)
    execution.check_cancelled()
    with _content(hypervisor).placed(image, domain.owner, read_only=False) as place:
        if isinstance(place, Place) or not depart(hypervisor, execution, vm.id, place):
            _save_to_file(hypervisor, execution, vm, place)


def _save_to_file(hypervisor: Hypervisor, execution: Execution, vm: Vm, place: Place | ImageStream) -> None:
    live, path = hypervisor.running(vm.id), _target(hypervisor, vm.id, place)
    execution.check_cancelled()
    was_running = live.status is Status.RUNNING
    live.leave()
    hypervisor.note_saving(vm.id, str(path))
    if isinstance(place, Place) and place.lasts:
        filing = "running" if was_running else "paused"
        hypervisor.change(vm.id, lambda machine: machine.with_domain(filing=filing))
    try:
        job = Job(hypervisor.virt, live.uuid)
        run_job(job, execution, lambda: hypervisor.virt.save(live.uuid, str(path)))
    except VirtError as error:
        live.stay()
        path.unlink(missing_ok=True)
        hypervisor.note_saving(vm.id, None)
        with suppress(VirtError):
            live.look(hypervisor.virt.find(live.uuid))
        execution.check_cancelled()
        raise internal_error(f"Cannot suspend VM {vm.id} to {path}: {error}") from error
    hypervisor.saved(vm.id, str(path))
    try:
        seal(path)
        _pass_on(path, place, execution)
        hypervisor.change(vm.id, lambda machine: machine.with_domain(filing=None))
        execution.forbid_cancel()
    except (OSError, XenopsError) as error:
        _bring_back(hypervisor, vm.id, paused=not was_running)
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise internal_error(f"Cannot suspend VM {vm.id} to {path}: {error}") from error
        raise


def _pass_on(path: Path, place: Place | ImageStream, execution: Execution) -> None:
    """To where the image is to be, if libvirt has not written it there."""
    if not isinstance(place, Place):
        send_image(path, place, execution)
    elif place.lasts:
        file_away(path, place.path, execution)


def bring_back_unfiled(hypervisor: Hypervisor) -> None:
    """VMs whose worker died while their images were on the way to where they last go on as they were."""
    for machine in hypervisor.machines():
        if machine.domain is None or machine.domain.filing is None:
            continue
        try:
            _bring_back(hypervisor, machine.id, paused=machine.domain.filing == "paused")
        except XenopsError as error:
            _LOG.warning("VM %s was not wholly suspended, and cannot go on: %s", machine.id, error)
        else:
            _moving_path(hypervisor, machine.id).unlink(missing_ok=True)


def restore_vm(
    hypervisor: Hypervisor, execution: Execution, vm: Vm, image: Image, *, devices: Devices
) -> None:
    """Read the image into a domain with its devices; see `VmVerbs.restore`."""
    hypervisor.look(vm.id).living()
    if hypervisor.live(vm.id) is not None:
        return
    execution.check_cancelled()
    owner = hypervisor.look(vm.id).living().owner
    with _content(hypervisor).placed(image, owner, read_only=True) as place:
        if not isinstance(place, Place):
            _restore_from_stream(hypervisor, execution, vm, place, devices=devices)
        elif not place.lasts:
            _restore_from(hypervisor, vm, place.path, devices)
        else:
            bytes_max = size_max(vm.memory_static_max)
            with _on_the_way(hypervisor, vm.id) as path:
                fetch(place.path, path, execution, bytes_max=bytes_max)
                _restore_from(hypervisor, vm, path, devices)


def _restore_from_stream(
    hypervisor: Hypervisor, execution: Execution, vm: Vm, image: ImageStream, *, devices: Devices
) -> None:
    with talking(image, execution) as talk:
        match talk.hear():
            case SendsFile():
                pass
            case Offer(host=host) if not _can_take(hypervisor, vm.id, host):
                talk.say(WantsFile())
            case Offer() as offer:
                arrival = Arrival(hypervisor, offer, image, talk)
                _take_in(hypervisor, vm, devices, _Coming(parsed(offer.document), arrival.come))
                return
            case other:
                raise unexpected(other)
    with _on_the_way(hypervisor, vm.id) as path:
        receive_image(path, image, execution, bytes_max=size_max(vm.memory_static_max))
        _restore_from(hypervisor, vm, path, devices)


@contextmanager
def _on_the_way(hypervisor: Hypervisor, vm: str) -> Iterator[Path]:
    """Where a VM's file may be while inside."""
    path = _moving_path(hypervisor, vm)
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _can_take(hypervisor: Hypervisor, vm: str, host: tuple[str, str]) -> bool:
    """Whether libvirt takes a domain from a host, and QEMU gets to where it would come in."""
    with spoken():
        if set(host) & set(host_of(hypervisor.virt)):
            return False
        return hypervisor.socket_directories.make(hypervisor.look(vm).living().domid)


def _restore_from(hypervisor: Hypervisor, vm: Vm, path: Path, devices: Devices) -> None:
    check_seal(vm.id, path)
    with spoken():
        document = parsed(hypervisor.virt.saved_document(str(path)))

    def restore(_: Domain, words: str, settle: Settle) -> None:
        hypervisor.virt.restore(str(path), words, paused=True)
        settle()

    _take_in(hypervisor, vm, devices, _Coming(document, restore))


def _take_in(hypervisor: Hypervisor, vm: Vm, devices: Devices, coming: _Coming) -> None:
    """Have libvirt make a domain of a document from elsewhere, with the devices that the VM has here."""
    domain = hypervisor.look(vm.id).living()
    bridged = hypervisor.settings.bridged
    sources = _content(hypervisor).open_all(devices.vbds, domain.owner)
    try:
        hypervisor.change(
            vm.id,
            lambda machine: _with_devices(
                machine.with_domain(uuid=uuid_in(coming.document)),
                coming.document,
                devices,
                sources,
                bridged=bridged,
            ),
        )
        now = hypervisor.look(vm.id).living()
        with configured(f"resume VM {vm.id}"):
            words = written(moved(coming.document, now, hypervisor.surroundings(vm.id, now)))
        hypervisor.bring_up(vm.id, now, lambda settle: coming.make(now, words, settle))
    except XenopsError as error:
        fresh = {"uuid": domain.uuid, "built": False, "disks": (), "nics": (), "stage": Stage.NOTED}
        hypervisor.change(vm.id, lambda machine: machine.with_domain(**fresh))
        if isinstance(error.error, FailedToStartEmulator):
            raise internal_error(f"Cannot resume VM {vm.id}: {error.error.message}") from error
        raise
    hypervisor.change(vm.id, _awake)


def _awake(machine: Machine) -> Machine:
    """Its guest has what its agent gave it before it was suspended, or left another host."""
    return machine.with_domain(addressed=machine.addressed).but(suspended=False, addressed=())


def _content(hypervisor: Hypervisor) -> OverlaidContent:
    return OverlaidContent(hypervisor.settings.run / OVERLAYS, hypervisor.settings.storage)


def _target(hypervisor: Hypervisor, vm: str, place: Place | ImageStream) -> Path:
    """The file that libvirt writes."""
    if not isinstance(place, Place) or place.lasts:
        return _moving_path(hypervisor, vm)
    refuse_unless_file(place.path)
    return place.path


def _moving_path(hypervisor: Hypervisor, vm: str) -> Path:
    """Where a VM's file is on its way, beside its sockets; it goes when its domain is unmade."""
    directory = hypervisor.console(hypervisor.look(vm).living().domid).parent
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / "moving"


def resume_vm(hypervisor: Hypervisor, vm: Vm) -> None:
    """Go on in the domain that was saved, from its image; it runs already, nothing to do.

    Errors: `Does_not_exist`, `Internal_error`.
    """
    domain = hypervisor.look(vm.id).living()
    if domain.saved is not None:
        _bring_back(hypervisor, vm.id, paused=False)
    elif domain.moving:
        live = hypervisor.running(vm.id)
        stay(hypervisor, vm.id, live)
        if live.status is Status.PAUSED:
            _let_run(hypervisor, live)


def _bring_back(hypervisor: Hypervisor, vm: str, *, paused: bool) -> None:
    domain = hypervisor.look(vm).living()
    path = domain.saved or ""

    def restore(settle: Settle) -> None:
        hypervisor.virt.restore(path, hypervisor.virt.saved_document(path), paused=True)
        settle()

    hypervisor.bring_up(vm, domain, restore)
    if not paused:  # only now: what it may send is restricted
        _let_run(hypervisor, hypervisor.running(vm))
    hypervisor.change(vm, lambda machine: machine.with_domain(filing=None).but(suspended=False))


def _let_run(hypervisor: Hypervisor, live: Live) -> None:
    with spoken():
        live.change(lambda: hypervisor.virt.resume(live.uuid), Status.RUNNING)


def _with_devices(
    machine: Machine,
    document: Element,
    devices: Devices,
    sources: Mapping[DeviceId, Source],
    *,
    bridged: bool,
) -> Machine:
    """With what the saved machine has; a disk or an interface that it has not is plugged into it later."""
    for vbd in devices.vbds:
        disk = attached(machine, vbd, sources.get(vbd.id)).disk(vbd.id)
        placed = None if disk is None else placed_disk(document, disk)
        if placed is None:
            machine = machine.without_disk(vbd.id)
            continue
        if is_aside(source_of(document, placed)) and not is_aside(placed.source):
            raise left_behind(machine.id, vbd.id.device)
        machine = machine.without_disk(vbd.id).with_new_disk(placed.model_copy(update={"activated": True}))
    for vif in devices.vifs:
        machine = plugged(machine, vif, bridged=bridged)  # counted, so that each has a tap of its own
        nic = machine.nic(vif.id)
        known = None if nic is None else placed_nic(document, nic)
        machine = machine.without_nic(vif.id)
        if known is not None:
            machine = machine.with_new_nic(known, PORTS)
    domain = machine.living()
    plugs = 1 + max((nic.plugs for nic in domain.nics), default=-1)
    counted = max(plugs, domain.nic_plugs)
    return machine.with_domain(
        built=True,
        kind=kind_in(document),
        vcpus=vcpus_in(document) or domain.vcpus,
        nic_plugs=counted,
        clock_s=clock_in(document) or 0,
    )
