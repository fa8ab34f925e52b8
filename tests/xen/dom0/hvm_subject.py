"""HVM guests on the Xen test host: boot sectors, for whichever backend, and what they say."""

import os
import socket
import threading
import time
from pathlib import Path
from typing import ClassVar

from boot_sector import SAYS, boot_sector
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_vm
from guest_subject import GuestSubject
from schema.ids import DeviceId, VmId
from schema.objects.disk import BusType
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vm import ConsoleProtocol, Hvm, HvmInfo, Vm
from typing_extensions import override
from xen_guests import MIB, PATIENCE_S
from xen_lives import terminal_of


class BootSectors(GuestSubject):
    """Guests are boot sectors, each on its VM's first disk."""

    sector: ClassVar[bytes] = boot_sector()
    platform: ClassVar[tuple[tuple[str, str], ...]] = (("tsc_mode", "2"),)

    @override
    def vm(self, *words: str) -> Vm:
        size = 32 * MIB
        memory = {"memory_static_max": size, "memory_dynamic_max": size, "memory_dynamic_min": size}
        info = HvmInfo(serial="pty", boot_order="c")
        made = self.guests.vm(*words)
        vm = sample_vm(
            made.id,
            name=made.id,
            ty=Hvm(info=info),
            platformdata=self.platform,
            vcpus=1,
            vcpu_max=2,
            **memory,
        )
        self._made.append(vm)
        return vm

    @override
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        disk = self.guests.disk(f"{vm.id}-{number}")
        with Path(disk.path).open("r+b") as file:
            file.write(self.sector)
        id_ = DeviceId(vm.id, f"hd{'abcd'[number]}")
        return Vbd(id=id_, position=(BusType.IDE, number, 0), backend=disk)

    @override
    def make_cd(self, vm: Vm, number: int) -> Vbd:
        medium = self.guests.disk(f"{vm.id}-cd-{number}")
        id_ = DeviceId(vm.id, f"hd{'abcd'[number]}")
        return Vbd(
            id=id_,
            position=(BusType.IDE, number, 0),
            ty=VbdType.CDROM,
            mode=VbdMode.READ_ONLY,
            backend=medium,
        )

    @override
    def let_boot(self, vm: Vm) -> None:
        """Without a disk it has nothing to boot, and is as well suspended in its firmware."""
        self.backend.vm.unpause(SuiteExecution(), vm)
        if self.backend.vbd.get_state(VmId(vm.id), self.make_vbd(vm, 0)).plugged:
            Ear(self, vm).await_words(SAYS)


class Ear:
    """Hears what is said at a guest's serial port from now on."""

    def __init__(self, subject: GuestSubject, vm: Vm, patience_s: float = PATIENCE_S) -> None:
        self._said = b""
        self._patience_s = patience_s
        self._terminal = os.open(terminal_of(subject, vm), os.O_RDONLY | os.O_NOCTTY)
        threading.Thread(target=self._listen, daemon=True).start()

    def await_words(self, words: str) -> None:
        end = time.monotonic() + self._patience_s
        while words.encode() not in self._said:
            assert time.monotonic() < end, f"it has not said {words!r}, but: {self._said[-2000:]!r}"
            time.sleep(0.1)

    def _listen(self) -> None:
        try:
            while piece := os.read(self._terminal, 4096):
                self._said += piece
        except OSError:  # its device model has ended
            os.close(self._terminal)


def greeting(subject: GuestSubject, vm: Vm) -> bytes:
    """What is said first at a guest's picture."""
    consoles = subject.backend.vm.get_state(vm).consoles
    screen = next(console for console in consoles if console.protocol is ConsoleProtocol.RFB)
    with socket.socket(socket.AF_UNIX if screen.path else socket.AF_INET) as viewer:
        viewer.connect(screen.path or ("127.0.0.1", screen.port))
        return viewer.recv(12)
