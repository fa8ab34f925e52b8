"""What guests live through, whatever their type and backend: a shell is told, they rest, they move."""

import os
import threading
from collections.abc import Callable

from engine.backend import CreateOptions
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life
from engine.image import ImageStream
from guest_subject import GuestSubject
from schema.atomics.vm import RenameWhen, ShutdownRequest
from schema.fault import internal_error
from schema.ids import VmId
from schema.objects.vm import ConsoleProtocol, PowerState, Vm
from typing_extensions import override
from xen_guests import PATIENCE_S


class Shell:
    """The shell on a guest's console; what it is told it keeps in its memory."""

    def __init__(self, subject: GuestSubject, vm: Vm) -> None:
        self._subject = subject
        self._vm = vm

    def tell(self, words: str) -> None:
        terminal = os.open(terminal_of(self._subject, self._vm), os.O_WRONLY | os.O_NOCTTY)
        try:
            os.write(terminal, f"{words}\n".encode())
        finally:
            os.close(terminal)


def terminal_of(subject: GuestSubject, vm: Vm) -> str:
    """The terminal that is a guest's console, or its serial port."""
    consoles = subject.backend.vm.get_state(vm).consoles
    return next(console.path for console in consoles if console.protocol is ConsoleProtocol.VT100)


def ends_when_asked(subject: GuestSubject, vm: Vm) -> None:
    verbs = subject.backend.vm
    assert verbs.request_shutdown(SuiteExecution(), vm, ShutdownRequest.POWER_OFF, PATIENCE_S)
    assert verbs.wait_shutdown(SuiteExecution(), vm, ShutdownRequest.POWER_OFF, PATIENCE_S)


def rests(subject: GuestSubject, life: Life) -> None:
    """It is suspended to an image, and goes on from there."""
    image, verbs = subject.make_image(), subject.backend.vm
    verbs.save(SuiteExecution(), life.vm, image, live=False)
    life.stop()
    assert verbs.get_state(life.vm).power_state is PowerState.SUSPENDED
    resume(life, lambda task: verbs.restore(task, life.vm, life.devices, image))


def resume(life: Life, restore: Callable[[SuiteExecution], None]) -> None:
    """As VM.resume: a domain, its memory, its devices; then it runs."""
    life.start_steps()[0](SuiteExecution())
    restore(SuiteExecution())
    carry_on(life)


def carry_on(life: Life) -> None:
    """With its memory a domain gets its devices, and runs."""
    for step in life.furnish_steps(save_state=True):
        step(SuiteExecution())
    life.subject.backend.vm.unpause(SuiteExecution(), life.vm)


class Wire(ImageStream):
    """A connection between two hosts, within this process."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe()

    @override
    def write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._in, rest) :]

    @override
    def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            piece = os.read(self._out, size - len(found))
            if not piece:
                raise internal_error("the connection was lost")
            found += piece
        return found

    def end(self) -> None:
        os.close(self._in)

    def close(self) -> None:
        os.close(self._out)


def moves(subject: GuestSubject, life: Life, *, live: bool) -> str:
    """Through a connection into another domain, where it goes on under its own name, as on another host.

    Answers what it was called when it arrived.
    """
    verbs, wire, errors = subject.backend.vm, Wire(), list[BaseException]()
    arriving = Life(subject, life.vm.model_copy(update={"id": f"{life.vm.id}-arriving"}), life.devices)
    verbs.create(SuiteExecution(), arriving.vm, life.devices, CreateOptions(final=life.id))

    def send() -> None:
        try:
            verbs.save(SuiteExecution(), life.vm, wire, live=live)
        except BaseException as error:
            errors.append(error)
            raise
        finally:
            wire.end()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        verbs.restore(SuiteExecution(), arriving.vm, life.devices, wire)
    finally:
        thread.join()
        wire.close()
        assert not errors
    life.stop()
    verbs.remove(life.vm)
    verbs.rename(VmId(arriving.vm.id), life.id, RenameWhen.POST_MIGRATION)
    carry_on(life)
    return arriving.vm.id
