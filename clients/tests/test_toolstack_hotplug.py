"""Disks and interfaces of a VM that runs, by their records."""

from collections.abc import Iterator
from typing import Any

import pytest
from fake_hypervisor import UUID, Hypervisor
from fake_instance import FakeInstance
from schema.objects.dynamic import VbdObject, VifObject, VmObject
from schema.objects.network import LocalNetwork
from schema.objects.task import Failed
from schema.objects.vbd import VbdState
from schema.objects.vif import VifState
from schema.wire.types import DeviceId
from xenops import Client
from xenops.toolstack import MemoryDatabase, Site, Toolstack, XenApiFailure
from xenops.toolstack.records import NULL
from xenops.toolstack.samples import HOST, cd_ref, sample_pool, sample_vm, vdi_ref, vif_ref, vm_ref

VM = vm_ref(1)
CD, NET = DeviceId(UUID, "xvdd"), DeviceId(UUID, "0")


class Slots:
    """Where devices are plugged in and out, and what was asked for."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.hypervisor = hypervisor
        self.plugged = {CD: True, NET: True}
        self.disk: Any = None
        self.asked: list[str] = []
        answers = hypervisor.instance.answers
        answers["VBD.stat"] = self.vbd
        answers["VIF.stat"] = self.vif
        answers["VBD.remove"] = answers["VIF.remove"] = lambda **_: None
        for klass in ("VBD", "VIF"):
            answers[f"{klass}.add"] = lambda **about: self.note("add", next(iter(about.values())).id)
            answers[f"{klass}.plug"] = lambda **about: self.turn("plug", about["id"], to=True)
            answers[f"{klass}.unplug"] = lambda **about: self.turn("unplug", about["id"], to=False)
        answers["VBD.insert"] = lambda **about: self.hold(about["disk"])
        answers["VBD.eject"] = lambda **_: self.hold(None)
        for method in ("move", "set_locking_mode", "set_ipv4_configuration", "set_ipv6_configuration"):
            answers[f"VIF.{method}"] = lambda **about: self.keep(about)

    def note(self, what: str, device: DeviceId) -> DeviceId:
        self.asked.append(f"{what} {device.device}")
        return device

    def turn(self, what: str, device: DeviceId, *, to: bool) -> str:
        self.note(what, device)

        def act() -> None:
            self.plugged[device] = to
            self.hypervisor.instance.tell(VbdObject(id=device), VifObject(id=device))

        return self.hypervisor.task(act)

    def hold(self, disk: Any) -> str:
        def act() -> None:
            self.disk = disk
            self.hypervisor.instance.tell(VbdObject(id=CD))

        return self.hypervisor.task(act)

    def keep(self, about: dict[str, Any]) -> str:
        self.asked += [str(value) for key, value in about.items() if key != "id"]
        return self.hypervisor.task(lambda: None)

    def vbd(self, id: DeviceId) -> Any:  # noqa: A002  the wire's name
        known = next(vbd for vbd in self.hypervisor.known().vbds if vbd.id == id)
        on = self.plugged.get(id, True)
        present = self.disk if id == CD else known.backend
        return known, VbdState(active=on, plugged=on, backend_present=present)

    def vif(self, id: DeviceId) -> Any:  # noqa: A002  the wire's name
        on = self.plugged[NET]
        known = self.hypervisor.known().vifs[0]
        return known, VifState(
            active=on, plugged=on, kthread_pid=0, media_present=on, pvs_rules_active=id == CD
        )


@pytest.fixture
def hypervisor() -> Hypervisor:
    return Hypervisor(FakeInstance())


@pytest.fixture
def slots(hypervisor: Hypervisor) -> Slots:
    return Slots(hypervisor)


@pytest.fixture
def database() -> MemoryDatabase:
    database = MemoryDatabase(sample_pool())
    database.add(sample_vm(1))
    return database


@pytest.fixture
def toolstack(slots: Slots, database: MemoryDatabase) -> Iterator[Toolstack]:
    client = Client(slots.hypervisor.instance, "i", dbg="test")
    with Toolstack(client, database, Site(host=HOST)) as toolstack:
        toolstack.start(VM)
        yield toolstack
    slots.hypervisor.instance.tell(VmObject(id="end"))


def test_a_medium_comes_and_goes_in_a_drive_that_stays(
    toolstack: Toolstack, database: MemoryDatabase
) -> None:
    toolstack.disks.insert(cd_ref(1), vdi_ref(1))
    fields = database.fields("VBD", cd_ref(1))
    assert (fields["VDI"], fields["empty"], fields["currently_attached"]) == (vdi_ref(1), False, True)
    toolstack.disks.eject(cd_ref(1))
    fields = database.fields("VBD", cd_ref(1))
    assert (fields["VDI"], fields["empty"], fields["currently_attached"]) == (NULL, True, True)


def test_without_a_device_model_the_drive_goes_with_its_medium(
    toolstack: Toolstack, database: MemoryDatabase, slots: Slots
) -> None:
    database.update("VM", VM, {"domain_type": "pv"})
    toolstack.disks.eject(cd_ref(1))
    fields = database.fields("VBD", cd_ref(1))
    assert (fields["VDI"], fields["empty"], fields["currently_attached"]) == (NULL, True, False)
    toolstack.disks.insert(cd_ref(1), vdi_ref(1))
    assert slots.asked == ["unplug xvdd", "add xvdd", "plug xvdd"]
    assert database.fields("VBD", cd_ref(1))["currently_attached"]


def test_an_interface_is_taken_away_and_given_back(
    toolstack: Toolstack, database: MemoryDatabase, slots: Slots
) -> None:
    toolstack.interfaces.unplug(vif_ref(1), force=True)
    assert not database.fields("VIF", vif_ref(1))["currently_attached"]
    toolstack.interfaces.plug(vif_ref(1))
    assert database.fields("VIF", vif_ref(1))["currently_attached"]
    assert slots.asked[-1] == "plug 0"
    assert database.fields("VM", VM)["current_operations"] == {}


def test_an_interface_is_as_its_record_says(
    toolstack: Toolstack, database: MemoryDatabase, slots: Slots
) -> None:
    database.update("network", "OpaqueRef:network", {"bridge": "xenbr9"})
    database.update("VIF", vif_ref(1), {"locking_mode": "disabled", "ipv6_configuration_mode": "Autoconf"})
    toolstack.interfaces.move(vif_ref(1))
    toolstack.interfaces.set_locking_mode(vif_ref(1))
    toolstack.interfaces.configure(vif_ref(1))
    assert slots.asked[0] == str(LocalNetwork(bridge="xenbr9"))
    assert [words.split()[0] for words in slots.asked[1:]] == [
        "kind='Disabled'",
        "kind='Static4'",
        "kind='Autoconf6'",
    ]


def test_an_interface_on_sr_iov_cannot_move(toolstack: Toolstack, database: MemoryDatabase) -> None:
    database.update("PIF", "OpaqueRef:pif", {"sriov_logical_PIF_of": ["OpaqueRef:sriov"]})
    database.add({"PCI": {"OpaqueRef:vf": {"uuid": "u", "pci_id": "0000:5e:02.1"}}})
    database.update("VIF", vif_ref(1), {"reserved_pci": "OpaqueRef:vf"})
    with pytest.raises(XenApiFailure, match="SR-IOV"):
        toolstack.interfaces.move(vif_ref(1))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (["Device_detach_rejected", ["VBD", "xvdd", "in use"]], "DEVICE_DETACH_REJECTED"),
        ("IO_error", "VDI_IO_ERROR"),
    ],
)
def test_a_guest_may_keep_a_disk(
    toolstack: Toolstack, database: MemoryDatabase, slots: Slots, error: Any, code: str
) -> None:
    slots.hypervisor.failure = Failed(error=error)
    with pytest.raises(XenApiFailure) as raised:
        toolstack.disks.unplug(cd_ref(1))
    assert raised.value.code == code
    assert database.fields("VBD", cd_ref(1))["currently_attached"]


def test_a_disk_that_xenops_does_not_know_is_unplugged(
    toolstack: Toolstack, database: MemoryDatabase, slots: Slots
) -> None:
    slots.hypervisor.failure = Failed(error=["Does_not_exist", ["VBD", "xvdd"]])
    toolstack.disks.unplug(cd_ref(1))
    assert not database.fields("VBD", cd_ref(1))["currently_attached"]


def test_a_device_that_is_not_plugged_after_all_is_noticed(toolstack: Toolstack, slots: Slots) -> None:
    toolstack.interfaces.unplug(vif_ref(1))
    slots.hypervisor.instance.answers["VIF.plug"] = lambda **_: slots.hypervisor.task(lambda: None)
    with pytest.raises(XenApiFailure, match="Unable to plug VIF"):
        toolstack.interfaces.plug(vif_ref(1))
