"""What every backend must do with devices, plugged while the VM is paused or runs."""
# ruff: noqa: S101  it is a test suite, shipped

from schema.objects.errors import AlreadyExists, DoesNotExist, MediaNotEjectable, MediaPresent

from engine.backend import Devices
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import Life, Subject, make_life, refusal


def _bare_life(subject: Subject) -> Life:
    """A VM that starts without devices."""
    return Life(subject, subject.make_vm(), Devices())


class DeviceConformance:
    """VBDs and VIFs."""

    def test_a_disk_is_plugged_and_unplugged_while_the_vm_runs(self, subject: Subject) -> None:
        """Each step may be repeated."""
        life = _bare_life(subject)
        life.start()
        verbs, vbd = subject.backend.vbd, subject.make_vbd(life.vm, 0)
        assert not verbs.get_state(life.id, vbd).plugged
        for _ in range(2):
            verbs.attach(SuiteExecution(), life.id, vbd)
            verbs.activate(SuiteExecution(), life.id, vbd)
        assert verbs.get_state(life.id, vbd).plugged
        assert verbs.get_state(life.id, vbd).backend_present == vbd.backend
        for _ in range(2):
            verbs.deactivate(SuiteExecution(), life.id, vbd, force=True)
            verbs.detach(SuiteExecution(), life.id, vbd)
        assert not verbs.get_state(life.id, vbd).plugged

    def test_an_interface_is_plugged_and_unplugged_while_the_vm_runs(self, subject: Subject) -> None:
        """Each step may be repeated."""
        life = _bare_life(subject)
        life.start()
        verbs, vif = subject.backend.vif, subject.make_vif(life.vm, 0)
        assert not verbs.get_state(life.id, vif).plugged
        for _ in range(2):
            verbs.plug(SuiteExecution(), life.id, vif)
        assert verbs.get_state(life.id, vif).plugged
        for _ in range(2):
            verbs.unplug(SuiteExecution(), life.id, vif, force=True)
        assert not verbs.get_state(life.id, vif).plugged

    def test_nothing_is_plugged_into_no_domain(self, subject: Subject) -> None:
        """But taking away what is not there succeeds."""
        life = _bare_life(subject)
        vbd, vif = subject.make_vbd(life.vm, 0), subject.make_vif(life.vm, 0)
        missing = DoesNotExist(klass="domain", id=life.vm.id)
        verbs, interfaces = subject.backend.vbd, subject.backend.vif
        assert refusal(lambda: verbs.attach(SuiteExecution(), life.id, vbd)) == missing
        assert refusal(lambda: interfaces.plug(SuiteExecution(), life.id, vif)) == missing
        verbs.deactivate(SuiteExecution(), life.id, vbd, force=False)
        verbs.detach(SuiteExecution(), life.id, vbd)
        interfaces.unplug(SuiteExecution(), life.id, vif, force=False)

    def test_what_the_vm_shall_have_is_remembered_without_a_domain(self, subject: Subject) -> None:
        """Active says what is wanted, plugged what is."""
        life = _bare_life(subject)
        vbd, vif = subject.make_vbd(life.vm, 0), subject.make_vif(life.vm, 0)
        for active in (True, True, False, False):
            subject.backend.vbd.set_active(SuiteExecution(), life.id, vbd, active=active)
            subject.backend.vif.set_active(SuiteExecution(), life.id, vif, active=active)
            assert subject.backend.vbd.get_state(life.id, vbd).active == active
            assert subject.backend.vif.get_state(life.id, vif).active == active

    def test_two_devices_do_not_take_the_same_place(self, subject: Subject) -> None:
        """The second one is refused, the first one stays."""
        life = _bare_life(subject)
        life.start()
        one = subject.make_vif(life.vm, 0)
        other = subject.make_vif(life.vm, 1).model_copy(update={"position": one.position})
        verbs = subject.backend.vif
        verbs.plug(SuiteExecution(), life.id, one)
        error = refusal(lambda: verbs.plug(SuiteExecution(), life.id, other))
        assert error == AlreadyExists(klass="vif", id=str(one.position))
        assert verbs.get_state(life.id, one).plugged

    def test_the_cable_is_pulled_and_plugged(self, subject: Subject) -> None:
        """The interface stays plugged."""
        subject.needs("VIF.set_carrier")
        life = make_life(subject)
        life.start()
        verbs, vif = subject.backend.vif, life.devices.vifs[0]
        for carrier in (False, False, True, True):
            verbs.set_carrier(SuiteExecution(), life.id, vif, carrier=carrier)
            assert verbs.get_state(life.id, vif).media_present == carrier
            assert verbs.get_state(life.id, vif).plugged

    def test_a_medium_is_ejected_and_inserted(self, subject: Subject) -> None:
        """Again is no error, another one on top is."""
        subject.needs("VBD.insert", "VBD.eject")
        life = _bare_life(subject)
        drive, other = subject.make_cd(life.vm, 0), subject.make_cd(life.vm, 1)
        life = Life(subject, life.vm, Devices(vbds=(drive,)))
        life.start()
        verbs = subject.backend.vbd
        assert drive.backend is not None
        assert other.backend is not None
        for _ in range(2):
            verbs.eject(SuiteExecution(), life.id, drive)
            assert verbs.get_state(life.id, drive).backend_present is None
        for _ in range(2):
            verbs.insert(SuiteExecution(), life.id, drive, drive.backend)
            assert verbs.get_state(life.id, drive).backend_present == drive.backend
        another = other.backend
        error = refusal(lambda: verbs.insert(SuiteExecution(), life.id, drive, another))
        assert error == MediaPresent()

    def test_a_disk_is_not_ejected(self, subject: Subject) -> None:
        """It is no medium."""
        subject.needs("VBD.eject")
        life = make_life(subject)
        life.start()
        vbd = life.devices.vbds[0]
        error = refusal(lambda: subject.backend.vbd.eject(SuiteExecution(), life.id, vbd))
        assert error == MediaNotEjectable()

    def test_no_device_asks_for_anything_by_itself(self, subject: Subject) -> None:
        """So none is unplugged by surprise."""
        life = make_life(subject)
        life.start()
        vbd, vif = life.devices.vbds[0], life.devices.vifs[0]
        assert not subject.backend.vbd.wants_unplug(life.id, vbd)
        assert not subject.backend.vbd.wants_qos(life.id, vbd)
        assert not subject.backend.vif.wants_unplug(life.id, vif)
