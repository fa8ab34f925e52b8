"""The verbs that go by what is noted, on a host that notes in memory and does what it is told."""

from collections.abc import Callable

import pytest
from engine.backend import Execution
from engine.conformance.execution import SuiteExecution
from engine.conformance.samples import sample_vbd, sample_vm
from engine.conformance.subject import refusal
from engine.hosted.ballooning import TIMEOUT_S, await_balloon
from engine.hosted.machine import HeldDisk, HeldNic, HostedDomain, HostedMachine, Source, taken
from engine.hosted.storage.content import LastingContent
from engine.hosted.storage.ports import Storage, Use
from engine.hosted.vbds import HostedVbds
from engine.hosted.vifs import HostedVifs
from engine.refusals import detach_rejected
from schema.fault import internal_error
from schema.ids import DeviceId, VmId
from schema.objects.disk import BusType, Disk, LocalDisk, Vdi
from schema.objects.errors import (
    BallooningTimeoutBeforeMigration,
    DeviceDetachRejected,
    DeviceNotConnected,
    MediaNotEjectable,
    MediaPresent,
    Unimplemented,
)
from schema.objects.network import Network
from schema.objects.vbd import Vbd, VbdType
from schema.objects.vif import Vif
from typing_extensions import override

Machine = HostedMachine[HostedDomain[HeldDisk, HeldNic], HeldDisk, HeldNic]

EXECUTION = SuiteExecution()
V1 = VmId("v1")
VBD = sample_vbd(backend=LocalDisk(path="/d"))
CD = sample_vbd("xvdd", ty=VbdType.CDROM)
VIF = Vif(id=DeviceId("v1", "0"), position=0)
MEDIUM = LocalDisk(path="/cd.iso")
VDI = Vdi(name="sr/a")
TAKEN = (BusType.XEN, 9, 0)


class Anywhere(LastingContent):
    """Disks that are there, whatever their paths."""

    @override
    def _in_file(self, vbd: Vbd, disk: Disk, path: str) -> Source:
        return Source(path=path, format="raw")


class NotedStorage(Storage):
    """Storage that says what it hears, and refuses what it is told to."""

    def __init__(self, heard: list[str]) -> None:
        self._heard = heard
        self.refused = ""

    @property
    @override
    def keeps_epochs(self) -> bool:
        return True

    def _hear(self, what: str, use: Use) -> None:
        self._heard.append(f"{what} {use.name} as {use.owner}.{use.device}")
        if what == self.refused:
            raise internal_error(what)

    @override
    def attach(self, use: Use) -> str:
        self._hear("attach", use)
        return f"/dev/{use.name}"

    @override
    def activate(self, use: Use) -> None:
        self._hear("activate", use)

    @override
    def deactivate(self, use: Use) -> None:
        self._hear("deactivate", use)

    @override
    def detach(self, use: Use) -> None:
        self._hear("detach", use)

    @override
    def begin(self, name: str, owner: str | None, *, persistent: bool) -> None:
        self._heard.append(f"begin {name} of {owner}")

    @override
    def end(self, name: str, owner: str | None) -> None:
        self._heard.append(f"end {name} of {owner}")


CONTENT = Anywhere()


class Host:
    """One VM, noted in memory; `told` is what its guest was given, and has lost."""

    def __init__(self, *vbds: Vbd) -> None:
        domain = HostedDomain[HeldDisk, HeldNic](vm=sample_vm(), created_at=0.0, memory_target_bytes=1)
        self.machine = Machine(id="v1", domain=domain)
        for vbd in vbds:
            self.machine = self.machine.with_new_disk(HeldDisk(vbd=vbd))
        self.told: list[str] = []

    def look(self, vm: str) -> Machine:
        return self.machine if vm == "v1" else Machine(id=vm)

    def noted(self, vm: str) -> Machine:
        return self.look(vm)

    def change(self, vm: str, change: Callable[[Machine], Machine]) -> Machine:
        self.machine = change(self.look(vm))
        return self.machine


class Vbds(HostedVbds[Host, HeldDisk]):
    @override
    def _attached(self, machine: Machine, vbd: Vbd, source: Source | None) -> Machine:
        if vbd.position == TAKEN:
            raise taken(TAKEN)
        return machine.with_new_disk(HeldDisk(vbd=vbd, source=source))

    @override
    def _give(self, execution: Execution, machine: Machine, disk: HeldDisk) -> None:
        self._hypervisor.told.append(f"has {disk.id.device}")

    @override
    def _take(self, execution: Execution, machine: Machine, disk: HeldDisk, *, force: bool) -> None:
        if not force:
            raise detach_rejected("VBD", disk.vbd.id, "it is busy")
        self._hypervisor.told.append(f"lost {disk.id.device}")

    @override
    def _exchange(self, execution: Execution, machine: Machine, drive: HeldDisk, changed: HeldDisk) -> None:
        self._hypervisor.told.append(f"sees {changed.vbd.backend}")


class Vifs(HostedVifs[Host]):
    @override
    def plug(self, execution: Execution, vm: VmId, vif: Vif) -> None:
        self._hypervisor.change(vm, lambda machine: machine.with_new_nic(HeldNic(vif=vif), places=1))

    @override
    def unplug(self, execution: Execution, vm: VmId, vif: Vif, *, force: bool) -> None: ...

    @override
    def move(self, execution: Execution, vm: VmId, vif: Vif, network: Network) -> None: ...

    @override
    def set_carrier(self, execution: Execution, vm: VmId, vif: Vif, *, carrier: bool) -> None:
        self._set(vm, vif, carrier=carrier)

    @override
    def _end_of(self, machine: Machine, vif: Vif) -> str | None:
        return "tap0"


def test_a_disk_is_given_once_and_taken_by_force() -> None:
    host = Host(VBD)
    vbds = Vbds(host, CONTENT)
    vbds.set_active(EXECUTION, V1, VBD, active=True)
    for _ in range(2):
        vbds.activate(EXECUTION, V1, VBD)
    assert vbds.get_state(V1, VBD).plugged
    assert isinstance(refusal(lambda: vbds.deactivate(EXECUTION, V1, VBD, force=False)), DeviceDetachRejected)
    assert vbds.get_state(V1, VBD).plugged
    for _ in range(2):
        vbds.deactivate(EXECUTION, V1, VBD, force=True)
    assert host.told == ["has xvda", "lost xvda"]
    vbds.detach(EXECUTION, V1, VBD)
    assert host.machine.living().disks == ()
    assert vbds.get_state(V1, VBD).active


def test_a_medium_is_seen_by_the_guest_that_has_the_drive() -> None:
    host = Host(CD)
    vbds = Vbds(host, CONTENT)
    vbds.insert(EXECUTION, V1, CD, MEDIUM)
    vbds.activate(EXECUTION, V1, CD)
    vbds.eject(EXECUTION, V1, CD)
    vbds.insert(EXECUTION, V1, CD, MEDIUM)
    vbds.insert(EXECUTION, V1, CD, MEDIUM)
    assert host.told == ["has xvdd", "sees None", *[f"sees {MEDIUM}"] * 2]
    other = LocalDisk(path="/other.iso")
    assert refusal(lambda: vbds.insert(EXECUTION, V1, CD, other)) == MediaPresent()
    assert vbds.get_state(V1, CD).backend_present == MEDIUM


def test_what_is_no_drive_of_the_vm_s_is_not_changed() -> None:
    host = Host(VBD)
    vbds = Vbds(host, CONTENT)
    assert refusal(lambda: vbds.eject(EXECUTION, V1, VBD)) == MediaNotEjectable()
    assert refusal(lambda: vbds.eject(EXECUTION, V1, CD)) == DeviceNotConnected()
    assert refusal(lambda: vbds.insert(EXECUTION, V1, CD, MEDIUM)) == DeviceNotConnected()
    assert host.told == []


def test_storage_has_a_disk_ready_before_its_guest_and_hears_of_its_end_afterwards() -> None:
    host = Host()
    vbds, vbd = Vbds(host, Anywhere(NotedStorage(host.told))), VBD.model_copy(update={"backend": VDI})
    vbds.epoch_begin(EXECUTION, V1, VDI, persistent=False)
    vbds.attach(EXECUTION, V1, vbd)
    vbds.activate(EXECUTION, V1, vbd)
    vbds.deactivate(EXECUTION, V1, vbd, force=True)
    vbds.detach(EXECUTION, V1, vbd)
    host.machine = host.machine.but(domain=None)
    vbds.epoch_end(EXECUTION, V1, VDI)
    assert host.told == [
        "begin sr/a of v1",
        *("attach sr/a as v1.xvda", "activate sr/a as v1.xvda", "has xvda"),
        *("lost xvda", "deactivate sr/a as v1.xvda", "detach sr/a as v1.xvda"),
        "end sr/a of None",
    ]


def test_a_disk_that_has_no_place_is_given_back_to_storage() -> None:
    host = Host()
    vbds = Vbds(host, Anywhere(NotedStorage(host.told)))
    vbd = VBD.model_copy(update={"backend": VDI, "position": TAKEN})
    assert "9" in str(refusal(lambda: vbds.attach(EXECUTION, V1, vbd)))
    assert host.told == ["attach sr/a as v1.xvda", "detach sr/a as v1.xvda"]
    assert host.machine.living().disks == ()


def test_a_medium_is_storages_while_it_is_in() -> None:
    host = Host(CD)
    storage = NotedStorage(host.told)
    vbds = Vbds(host, Anywhere(storage))
    vbds.activate(EXECUTION, V1, CD)
    vbds.insert(EXECUTION, V1, CD, VDI)
    vbds.eject(EXECUTION, V1, CD)
    medium = "sr/a as v1.xvdd"
    assert host.told == [
        "has xvdd",
        *(f"detach {medium}", f"attach {medium}", f"activate {medium}", f"sees {VDI}"),
        *("sees None", f"detach {medium}"),
    ]
    storage.refused = "activate"
    refusal(lambda: vbds.insert(EXECUTION, V1, CD, VDI))
    assert host.told[-1] == f"detach {medium}"
    assert vbds.get_state(V1, CD).backend_present is None


def test_disks_that_are_opened_together_are_given_back_together() -> None:
    heard: list[str] = []
    storage = NotedStorage(heard)
    vbds = [sample_vbd(name, backend=Vdi(name=f"sr/{name}")) for name in ("a", "b")]
    content = Anywhere(storage)
    found = content.open_all([*vbds, CD], "v1")
    assert {device.device: source.path for device, source in found.items()} == {
        "a": "/dev/sr/a",
        "b": "/dev/sr/b",
    }
    heard.clear()
    storage.refused = "activate"
    refusal(lambda: content.open_all(vbds, "v1"))
    assert heard == ["attach sr/a as v1.a", "activate sr/a as v1.a", "detach sr/a as v1.a"]


def test_what_is_written_stays_where_nobody_forgets_it() -> None:
    host = Host()
    vbds = Vbds(host, CONTENT)
    vbds.epoch_begin(EXECUTION, V1, MEDIUM, persistent=True)
    vbds.epoch_end(EXECUTION, V1, MEDIUM)
    error = refusal(lambda: vbds.epoch_begin(EXECUTION, V1, MEDIUM, persistent=False))
    assert isinstance(error, Unimplemented)


def test_an_interface_is_noted_as_it_is() -> None:
    host = Host()
    vifs = Vifs(host)
    vifs.set_carrier(EXECUTION, V1, VIF, carrier=False)
    vifs.set_active(EXECUTION, V1, VIF, active=True)
    assert not vifs.get_state(V1, VIF).plugged
    vifs.plug(EXECUTION, V1, VIF)
    vifs.set_carrier(EXECUTION, V1, VIF, carrier=False)
    state = vifs.get_state(V1, VIF)
    assert (state.active, state.plugged, state.media_present, state.device) == (True, True, False, "tap0")


class Impatient(SuiteExecution):
    """Notes what it was to wait for."""

    waited_s = 0.0

    @override
    def wait(self, delay_s: float) -> None:
        self.waited_s += delay_s


def test_a_balloon_is_waited_for_until_it_is_near() -> None:
    distances = [64 << 20, -(64 << 20), -(4 << 20)]
    execution = Impatient()
    await_balloon(execution, lambda: distances.pop(0))
    assert distances == []
    assert execution.waited_s > 0


def test_a_balloon_that_does_not_move_is_given_up() -> None:
    execution = Impatient()
    error = refusal(lambda: await_balloon(execution, lambda: 1 << 30))
    assert error == BallooningTimeoutBeforeMigration()
    assert execution.waited_s == pytest.approx(TIMEOUT_S, abs=1.0)
