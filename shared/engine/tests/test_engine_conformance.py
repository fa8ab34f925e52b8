"""The simulator passes what every backend must."""

import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import backend as port
from engine.conformance import BackendConformance, Subject
from engine.conformance.calls import CALLS
from engine.conformance.samples import sample_vm
from engine.simulator import Simulator, SimulatorSettings
from schema.atomics.vm import DomainAction
from schema.ids import DeviceId
from schema.objects.disk import BusType, Disk, LocalDisk, Vdi
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import (
    DirectBoot,
    Hvm,
    HvmInfo,
    Pv,
    PvDirectBoot,
    PvInfo,
    Vm,
)
from typing_extensions import override

PV = Pv(info=PvInfo(boot=DirectBoot(boot=PvDirectBoot(kernel="/boot/guest"))))
HVM = Hvm(info=HvmInfo())


class SimulatedSubject(Subject):
    asks_at_first = DomainAction.REBOOT

    def __init__(self, ty: Pv | Hvm, settings: SimulatorSettings) -> None:
        self._ty = ty
        self._settings = settings
        self._numbers = itertools.count()
        self.backend = Simulator(settings)
        self.backend.start(lambda _: None)
        if settings.state is None:
            self.unsupported = frozenset({"restart"})

    @override
    def make_vm(self) -> Vm:
        return sample_vm(f"vm-{next(self._numbers)}", ty=self._ty)

    @override
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        return Vbd(
            id=DeviceId(vm.id, f"xvd{'abcd'[number]}"),
            position=(BusType.XEN, number, 0),
            backend=Vdi(name=f"sr/{vm.id}-{number}"),
        )

    @override
    def make_cd(self, vm: Vm, number: int) -> Vbd:
        return Vbd(
            id=DeviceId(vm.id, f"xvd{'abcd'[number]}"),
            ty=VbdType.CDROM,
            mode=VbdMode.READ_ONLY,
            backend=LocalDisk(path=f"/srv/{number}.iso"),
        )

    @override
    def make_vif(self, vm: Vm, number: int) -> Vif:
        return Vif(id=DeviceId(vm.id, str(number)), position=number, mac=f"fe:ff:ff:ff:ff:{number:02x}")

    @override
    def make_image(self) -> Disk:
        return Vdi(name=f"sr/image-{next(self._numbers)}")

    @override
    def reopen(self) -> None:
        self.backend.stop()
        self.backend = Simulator(self._settings)
        self.backend.start(lambda _: None)


class TestSimulatorInMemory(BackendConformance):
    @pytest.fixture(params=[PV, HVM], ids=["pv", "hvm"])
    def subject(self, request: pytest.FixtureRequest) -> Iterator[Subject]:
        subject = SimulatedSubject(request.param, SimulatorSettings())
        yield subject
        subject.backend.stop()


class TestSimulatorInAFile(BackendConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        subject = SimulatedSubject(HVM, SimulatorSettings(state=tmp_path / "host.db"))
        yield subject
        subject.backend.stop()


def test_the_suite_calls_every_verb_of_the_port() -> None:
    families = {
        "HOST": port.HostVerbs,
        "VM": port.VmVerbs,
        "PCI": port.PciVerbs,
        "VBD": port.VbdVerbs,
        "VIF": port.VifVerbs,
        "VGPU": port.VgpuVerbs,
        "VUSB": port.VusbVerbs,
    }
    verbs = {
        f"{family}.{name}"
        for family, protocol in families.items()
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }
    assert set(CALLS) == verbs
    assert len(verbs) + len(["trigger"]) == 79
