"""What is noted of a VM on a host, whichever backend notes it."""

import pytest
from engine.conformance.samples import sample_vbd, sample_vm
from engine.conformance.subject import refusal
from engine.hosted.machine import HeldDisk, HeldNic, HostedDomain, HostedMachine, taken
from engine.hosted.naming import letters
from engine.hosted.states import vbd_state, vif_state
from schema.atomics.vm import DomainAction
from schema.ids import DeviceId
from schema.objects.disk import BusType, LocalDisk
from schema.objects.errors import AlreadyExists, DoesNotExist, InternalError
from schema.objects.halted import UNPLUGGED_VBD, UNPLUGGED_VIF
from schema.objects.vif import Vif

Domain = HostedDomain[HeldDisk, HeldNic]
Machine = HostedMachine[Domain, HeldDisk, HeldNic]

BARE = Machine(id="v1")
VBD = sample_vbd(backend=LocalDisk(path="/d"))
VIF = Vif(id=DeviceId("v1", "0"), position=0)
DISK = HeldDisk(vbd=VBD)
NIC = HeldNic(vif=VIF)


def fresh() -> Domain:
    return Domain(vm=sample_vm(), created_at=1.0, memory_target_bytes=2)


MADE = BARE.begun(fresh)


def test_a_domain_begins_once_and_again_until_it_is_built() -> None:
    assert MADE.living().action is DomainAction.POWEROFF
    assert MADE.begun(fresh) is MADE
    error = refusal(lambda: MADE.with_domain(built=True).begun(fresh))
    assert error == AlreadyExists(klass="domain", id="v1")


def test_without_a_domain_there_is_nothing_to_change() -> None:
    assert refusal(BARE.living) == DoesNotExist(klass="domain", id="v1")
    assert refusal(lambda: BARE.with_domain(built=True)) == DoesNotExist(klass="domain", id="v1")
    assert refusal(lambda: BARE.held_disk(VBD.id)) == DoesNotExist(klass="domain", id="v1")
    assert (BARE.disk(VBD.id), BARE.nic(VIF.id)) == (None, None)
    for same in (
        BARE.with_disk(DISK),
        BARE.without_disk(VBD.id),
        BARE.with_nic(NIC),
        BARE.without_nic(VIF.id),
        BARE.asking(DomainAction.POWEROFF),
    ):
        assert same is BARE


def test_a_domain_asks_for_what_it_was_told() -> None:
    assert MADE.asking(DomainAction.POWEROFF).living().action is DomainAction.POWEROFF
    assert MADE.asking(None).living().action is None


def test_devices_that_the_vm_shall_have_are_noted_once() -> None:
    noted = BARE.noting_active("vbd", VBD.id, active=True).noting_active("vif", VIF.id, active=True)
    assert noted.active == ("vbd.xvda", "vif.0")
    assert noted.noting_active("vbd", VBD.id, active=True) == noted
    assert noted.is_active("vif", VIF.id)
    assert not noted.noting_active("vif", VIF.id, active=False).is_active("vif", VIF.id)


def test_a_disk_comes_changes_and_goes() -> None:
    machine = MADE.with_new_disk(DISK)
    assert machine.held_disk(VBD.id) == DISK
    given = machine.with_disk(DISK.model_copy(update={"activated": True}))
    assert given.held_disk(VBD.id).activated
    assert refusal(lambda: given.without_disk(VBD.id).held_disk(VBD.id)) == DoesNotExist(
        klass="VBD", id="v1.xvda"
    )


def test_a_disk_that_does_not_care_goes_behind_all_others() -> None:
    assert MADE.living().next_position() == (BusType.XEN, 0, 0)
    placed = HeldDisk(vbd=sample_vbd("xvdh", position=(BusType.SCSI, 7, 0)))
    assert MADE.with_new_disk(placed).living().next_position() == (BusType.XEN, 8, 0)
    assert taken((BusType.SCSI, 7, 0)).error == AlreadyExists(klass="vbd", id="Scsi(7, 0)")


def test_a_drive_holds_another_medium() -> None:
    drive = DISK.holding(None, activated=True)
    assert (drive.vbd.backend, drive.activated) == (None, True)


def test_an_interface_has_a_place_of_its_own_changes_and_goes() -> None:
    machine = MADE.with_new_nic(NIC, places=1)
    other = HeldNic(vif=Vif(id=DeviceId("v1", "1")))
    assert refusal(lambda: machine.with_new_nic(other.but(position=0), places=2)) == AlreadyExists(
        klass="vif", id="0"
    )
    assert machine.with_nic(NIC.but(carrier=False)).living().nics == (NIC.but(carrier=False),)
    assert machine.changing_nic(VIF.id, carrier=False) == machine.with_nic(NIC.but(carrier=False))
    assert MADE.changing_nic(VIF.id, carrier=False) is MADE
    assert machine.without_nic(VIF.id).nic(VIF.id) is None


@pytest.mark.parametrize("position", [-1, 1])
def test_a_place_for_an_interface_that_there_is_not_is_refused(position: int) -> None:
    error = refusal(lambda: MADE.with_new_nic(NIC.but(position=position), places=1))
    assert isinstance(error, InternalError)
    assert "positions 0 to 0" in error.message


def test_a_disk_is_plugged_once_its_guest_has_it() -> None:
    machine = MADE.with_new_disk(DISK).noting_active("vbd", VBD.id, active=True)
    assert vbd_state(machine, VBD.id) == UNPLUGGED_VBD.model_copy(update={"active": True})
    state = vbd_state(machine.with_disk(DISK.model_copy(update={"activated": True})), VBD.id)
    assert (state.active, state.plugged, state.backend_present) == (True, True, VBD.backend)


def test_an_interface_is_shown_by_its_end_and_its_cable() -> None:
    assert vif_state(MADE, VIF.id, "tap0") == UNPLUGGED_VIF
    machine = MADE.with_new_nic(NIC.but(carrier=False), places=8)
    state = vif_state(machine, VIF.id, "tap0")
    assert (state.active, state.plugged, state.media_present, state.device) == (False, True, False, "tap0")


@pytest.mark.parametrize(("number", "word"), [(0, "a"), (25, "z"), (26, "aa"), (255, "iv")])
def test_disks_are_named_as_linux_does(number: int, word: str) -> None:
    assert letters(number) == word
