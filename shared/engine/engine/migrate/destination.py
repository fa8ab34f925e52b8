"""Destination: takes a VM in. It gives up at a failure until the third synchronisation point, never after."""

import logging
from contextlib import ExitStack

from schema.fault import XenopsError
from schema.migration import Channel as ChannelName
from schema.objects.errors import Error
from schema.objects.vm import PowerState
from schema.operations import VmReceiveMemory
from schema.records import Removed
from schema.wire.codec import encode_text

from engine.image import ImageStream, Line
from engine.migrate.accompanied import Accompanied
from engine.migrate.channel import Channel, interruptible
from engine.migrate.connect import join
from engine.migrate.course import Course
from engine.migrate.offers import Offers
from engine.migrate.remains import clear
from engine.migrate.stay import insist
from engine.migrate.zstd import DecompressingStream
from engine.objects import objects_of
from engine.plan import migrate as plans
from engine.sharing import told

_MADE_ROOM, _RESTORED = 1 / 12, 11 / 12

_LOG = logging.getLogger(__name__)


class Arrival:
    """One VM's, once."""

    def __init__(self, operation: VmReceiveMemory, course: Course, offers: Offers) -> None:
        self._operation = operation
        self._vm, self._final = operation.vm, operation.final
        self._course = course.silent_about(self._vm) if self._vm != self._final else course
        self._offers = offers
        self._vgpu: Channel | None = None
        self._memory: Channel | None = None

    def run(self) -> None:
        """Take the VM in.

        Raises:
            XenopsError: it has failed, and the source was told why. Before the third point nothing is left
                of the VM here; after it, it is here, in whatever state it got into.
        """
        with ExitStack() as channels:
            control = self._join(channels)
            try:
                with interruptible(self._course.execution(), control.hush):
                    self._make_room(control, channels)
                    control.succeed()
                    self._restore(control, channels)
                    self._accept(control)
            except Exception as error:
                self.give_up()
                self._say_why(control, words_of(error))
                raise
            try:
                self.take_over()
            except Exception as error:
                control.fail(words_of(error))
                raise
            self._tell_source(control)

    # --- until the third point ----------------------------------------------------------------------

    def _join(self, channels: ExitStack) -> Channel:
        """The control channel; without it nobody can be told anything."""
        try:
            control = join(self._course.network, self._operation.socket, self._operation.ticket)
        except XenopsError:
            self.give_up()
            raise
        channels.callback(control.close)
        return control

    def _make_room(self, control: Channel, channels: ExitStack) -> None:
        course = self._course
        course.store.read(self._vm)
        self._offers.forget(self._vm, ChannelName.MEMORY)
        devices = course.store.devices(self._vm)
        if devices.vgpus:
            self._vgpu = self._further(ChannelName.VGPU, control, channels)
            self._expect(control)
        self._replace_stale()
        course.perform("destination: make room", plans.make_room(self._operation, devices), _MADE_ROOM)

    def _replace_stale(self) -> None:
        """What this host remembers of the VM from an earlier stay gives way; not so one that lives here."""
        course = self._course
        if self._final == self._vm or not course.store.exists(self._final):
            return
        stale = course.store.read(self._final)
        if course.backend.vm.get_state(stale).power_state is PowerState.HALTED:
            course.backend.vm.remove(stale)
            course.store.remove(self._final)

    def _further(self, name: ChannelName, control: Channel, channels: ExitStack, device: str = "") -> Channel:
        """A channel that the source opens now; it is told that all is in place."""
        execution = self._course.execution()

        def check() -> None:
            execution.check_cancelled()
            if control.is_closed():
                raise control.lost("the source has closed it")

        channel = self._offers.take(self._vm, name, check, device)
        channels.callback(channel.close)
        channel.succeed()
        return channel

    def _restore(self, control: Channel, channels: ExitStack) -> None:
        course = self._course
        devices = course.store.devices(self._vm)
        memory = control
        if self._operation.separate_memory:
            self._memory = memory = self._further(ChannelName.MEMORY, control, channels)
            self._expect(control)
        course.perform("destination: await VGPUs", plans.await_vgpus(devices))
        execution = course.execution(_MADE_ROOM, _RESTORED)

        def line(name: str) -> Line:
            return self._further(ChannelName.DISK, control, channels, name)

        with interruptible(execution, memory.hush):
            vm = course.store.read(self._vm)
            vgpu = self._image(self._vgpu) if self._vgpu else None
            image = Accompanied(self._image(memory), line)
            course.backend.vm.restore(execution, vm, devices, image, vgpu=vgpu)
        if memory is not control:
            memory.closing_word()
            memory.linger()
            memory.close()

    def _image(self, channel: Channel) -> ImageStream:
        return DecompressingStream(channel.read_some) if self._operation.compressed else channel

    def _accept(self, control: Channel) -> None:
        """The third point: from here on the VM is ours, whoever wants the task to end."""
        self._expect(control)
        self._course.note_handover()

    @staticmethod
    def _expect(control: Channel) -> None:
        verdict = control.verdict()
        if verdict is not None:
            raise control.lost(f"the source gives up: {verdict}")

    def _say_why(self, control: Channel, words: str) -> None:
        """On every channel at which the source may wait."""
        control.fail(words)
        if self._memory is not None:
            self._memory.fail(words)
            self._memory.linger()

    def give_up(self) -> None:
        """Nothing is left of what was made: while anything is, a source that asks cannot go on."""
        course = self._course.insisting()
        clear(self._vm, course)
        if self._vm != self._final:
            course.append(Removed(vm=self._vm))

    # --- from the third point on --------------------------------------------------------------------

    def take_over(self) -> None:
        """The VM takes its name and runs; asked again, it goes on where it was.

        Under its arriving id neither side can go on with it, so its name is what it must have.
        """
        course = self._course.insisting()
        if self._final != self._vm:
            course.held.also(self._final, course.threads.sleep)
            insist(course, f"VM {self._final} cannot take its name yet", self._take_name)
            course.append(Removed(vm=self._vm))
        devices = course.store.devices(self._final)
        for record in told(self._final, (), devices.vgpus):
            course.append(record)
        try:
            course.perform("destination: carry on", plans.carry_on(self._final, devices), 1.0)
        finally:
            for changed in objects_of(self._final, course.store):
                course.signal(changed)

    def _take_name(self) -> None:
        course = self._course.insisting()
        if course.store.exists(self._vm):
            course.perform("destination: take the name", plans.take_name(self._operation), _RESTORED)

    def _tell_source(self, control: Channel) -> None:
        """The fourth point; a source that has died meanwhile finds out by itself."""
        try:
            control.succeed()
        except XenopsError as error:
            _LOG.warning("VM %s has arrived, its source does not hear it: %s", self._final, error)


def words_of(error: Exception) -> str:
    """What a source is told: an error of the interface in its wire form, anything else as a sentence."""
    if isinstance(error, XenopsError):
        return encode_text(Error, error.error)
    return f"{type(error).__name__}: {error}"
