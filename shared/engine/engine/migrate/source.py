"""Source: sends a VM away. After a failure it goes on here, but never beyond the third synchronisation point.

The third point is written down before it is said: whoever takes over after a crash knows on which side of it
this host was. (The original's name and number: both hosts have told each other that all is well so far.)
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cached_property
from typing import Any

from schema.atomics.vm import VmHookScript
from schema.fault import XenopsError, internal_error
from schema.migration import (
    COMPRESSION,
    COMPRESSION_COOKIE,
    HANDSHAKE_COOKIE,
    VGPU_COOKIE,
    arriving_id,
    channel_path,
    departing_id,
    has_temporary_ids,
)
from schema.migration import Channel as ChannelName
from schema.objects.dynamic import VmObject
from schema.objects.errors import (
    BadPowerState,
    BallooningTimeoutBeforeMigration,
    DoesNotExist,
    Error,
    InternalError,
)
from schema.objects.metadata import Metadata
from schema.objects.vm import PowerState, Vm
from schema.operations import VmMigrate
from schema.wire.codec import decode_text, encode_text
from schema.wire.errors import JsonError, MarshalError

from engine.hook_names import HookName, HookReason
from engine.image import ImageStream, Line
from engine.migrate import connect
from engine.migrate.accompanied import Accompanied
from engine.migrate.address import Address, read_url
from engine.migrate.channel import Channel, ChannelLostError, interruptible
from engine.migrate.course import Course
from engine.migrate.export import export, maps_of, under
from engine.migrate.fate import Fate, fate_of
from engine.migrate.remains import clear
from engine.migrate.stay import insist, stay
from engine.migrate.zstd import CompressingStream
from engine.plan import migrate as plans
from engine.plan.groups import do

VERSION = "xenops"
"""What we call ourselves where the original tells its version; nobody reads it."""

_PREPARED, _SENT = 1 / 12, 11 / 12
"""How far the whole has come: the copy weighs ten of twelve parts, as in the original's plans."""

TIDY_TIMEOUT_S = 30.0
"""How long a destination may take to come back, so that nothing of a VM that stayed is left there."""

_TIDY_WAIT_S = 0.1

_LOG = logging.getLogger(__name__)


class RefusedThereError(XenopsError):
    """What the destination complains of, in its own words."""


class Departure:
    """One VM's, once."""

    def __init__(self, operation: VmMigrate, course: Course) -> None:
        self._operation = operation
        self._vm = operation.vm
        self._departing = departing_id(operation.vm)
        self._arriving = arriving_id(operation.vm)
        self._course = course.silent_about(self._departing)
        self._is_unknown_there = False
        self._is_aside = False

    @cached_property
    def _address(self) -> Address:
        return read_url(self._operation.url)

    def run(self) -> None:
        """Migrate.

        Raises:
            XenopsError: it has failed; unless the error says otherwise, the VM runs on here as before.
        """
        course, verbs = self._course, self._course.backend.vm
        if not has_temporary_ids(self._vm):
            raise internal_error(f"VM {self._vm} cannot migrate: VMs bear such an id only while they migrate")
        if course.store.exists(self._departing):
            raise internal_error(
                f"VM {self._vm} cannot migrate: {self._departing}, the id that it would bear meanwhile, is "
                "another VM's: remove that one first"
            )
        self._address  # noqa: B018  a URL that makes no sense is told before anything is done
        vm = course.store.read(self._vm)
        verbs.assert_can_save(vm)
        before = verbs.get_state(vm).power_state
        if before is PowerState.SUSPENDED:  # by a suspend that has failed after its image was written
            raise XenopsError(BadPowerState(found=before, expected=PowerState.RUNNING))
        hook = VmHookScript(vm=self._vm, hook=HookName.PRE_MIGRATE, reason=HookReason.MIGRATE_SOURCE)
        course.perform("source: hooks", do(hook))
        with ExitStack() as channels:
            try:
                control = self._send(vm, channels)
                self._hand_over()
            except Exception:
                channels.close()
                self.retreat(paused=before is PowerState.PAUSED)
                raise
            self._agree(control)

    # --- until the third point ----------------------------------------------------------------------

    def _send(self, vm: Vm, channels: ExitStack) -> Channel:
        """All up to the second point; answers the control channel."""
        self._introduce(vm)
        self._freeze_balloon(vm)
        state = self._course.backend.vm.get_state(vm)
        self._course.progress(_PREPARED)
        memory = {
            "memory_limit": str(state.memory_limit),
            "memory_total_source": str(state.memory_actual),
        }
        control = self._open(ChannelName.CONTROL, channels, memory)
        with interruptible(self._course.execution(), control.hush):
            vgpu = self._send_vgpu(control, channels)
            self._check(control.verdict())
            try:
                self._send_memory(vm, control, vgpu, channels)
            except ChannelLostError:
                self._check(control.pending_verdict())
                raise
        return control

    def _send_memory(self, vm: Vm, control: Channel, vgpu: Channel | None, channels: ExitStack) -> None:
        channel = self._open(ChannelName.MEMORY, channels)
        with interruptible(self._course.execution(), channel.shut):
            if control.speaks_before(channel):
                self._check(control.verdict() or "the destination has not waited for the memory's channel")
            self._check(channel.verdict())
            control.succeed()
            try:
                self._save(vm, channel, vgpu, lambda name: self._line(name, control, channels))
            except RefusedThereError:
                raise
            except XenopsError as error:
                if channel.has_something():
                    raise channel.lost("the other side has ended it") from error
                raise
            self._step_aside()
            self._check(channel.closing_verdict())
        channel.close()

    def _line(self, name: str, control: Channel, channels: ExitStack) -> Line:
        """A disk's channel, once the destination has it."""
        channel = self._open(ChannelName.DISK, channels, device=name)
        with interruptible(self._course.execution(), channel.shut):
            if control.speaks_before(channel):
                self._check(control.verdict() or "the destination has not waited for a disk's channel")
            self._check(channel.verdict())
        return channel

    def _introduce(self, vm: Vm) -> None:
        """Import the VM's metadata at the destination, under the id that it bears there for now."""
        course = self._course
        metadata = under(export(course.store, course.backend, vm, maps_of(self._operation)), self._arriving)
        try:
            imported = self._ask("VM.import_metadata", metadata=encode_text(Metadata, metadata))
        except connect.NeverReachedError:
            self._is_unknown_there = True
            raise
        if imported != self._arriving:
            raise internal_error(f"the destination calls VM {self._arriving} {imported!r}: is it xenops?")

    def _freeze_balloon(self, vm: Vm) -> None:
        course, verbs = self._course, self._course.backend.vm
        actual = verbs.get_state(vm).memory_actual
        steps = plans.freeze_balloon(vm, actual, localhost=self._operation.localhost_migration)
        if not steps:
            return
        course.perform("source: freeze the balloon", steps)
        try:
            verbs.wait_ballooning(course.execution(), vm)
        except XenopsError as error:
            if not isinstance(error.error, BallooningTimeoutBeforeMigration):
                raise  # to wait is but a precaution

    def _open(
        self, name: ChannelName, channels: ExitStack, more: dict[str, str] | None = None, device: str = ""
    ) -> Channel:
        cookies = {
            "instance_id": self._course.instance,
            "final_id": self._vm,
            "dbg": self._course.dbg,
            HANDSHAKE_COOKIE: VERSION,
            **({COMPRESSION_COOKIE: COMPRESSION} if self._operation.compress else {}),
            **(more or {}),
        }
        path = channel_path(name, self._arriving, device)
        channel = connect.open_channel(
            self._course.network, self._address, path, cookies, verify=self._operation.verify_dest
        )
        channels.callback(channel.close)
        return channel

    def _send_vgpu(self, control: Channel, channels: ExitStack) -> Channel | None:
        """The first virtual GPU's channel stands for all, as in the original."""
        vgpus = self._course.store.devices(self._vm).vgpus
        if not vgpus:
            return None
        vgpu = self._open(ChannelName.VGPU, channels, {VGPU_COOKIE: ""}, vgpus[0].id[1])
        with interruptible(self._course.execution(), vgpu.shut):
            self._check(vgpu.verdict())
        control.succeed()
        return vgpu

    def _save(self, vm: Vm, memory: Channel, vgpu: Channel | None, open_line: Callable[[str], Line]) -> None:
        execution = self._course.execution(_PREPARED, _SENT, self._step_aside_early)
        streams: list[ImageStream] = [Accompanied(memory, open_line), *([vgpu] if vgpu else [])]
        compressing = [CompressingStream(stream) for stream in streams] if self._operation.compress else []
        image, gpu_image = [*(compressing or streams), None][:2]
        if image is None:
            raise AssertionError("there is always memory")
        self._course.backend.vm.save(execution, vm, image, live=True, vgpu=gpu_image)
        for stream in compressing:
            stream.finish()

    @staticmethod
    def _check(verdict: str | None) -> None:
        """Raise what the destination complains of: one of our errors, or its words."""
        if verdict is not None:
            raise RefusedThereError(_error_in(verdict))

    def _step_aside_early(self) -> None:
        """While the hypervisor writes the last of the state, where it tells; else, and if it fails, later."""
        with suppress(XenopsError):
            self._step_aside()

    def _step_aside(self) -> None:
        """The VM gives its id away, while the destination still loads what has been sent: its guest waits."""
        if self._is_aside:
            return
        course = self._course.insisting()
        course.held.also(self._departing, self._course.threads.sleep)
        course.perform("source: step aside", plans.step_aside(self._vm), _SENT)
        self._is_aside = True

    def _hand_over(self) -> None:
        """It is written down that the VM does not come back."""
        course = self._course
        course.cancellation.check()  # whoever has lost the lease meanwhile goes no further
        course.note_handover()
        course.held.release(self._vm)

    def retreat(self, *, paused: bool = False) -> None:
        """The VM goes on here, under its own id; whatever was done of the migration is undone."""
        stay(self._vm, self._course, paused=paused)
        self._tidy_destination()

    def _tidy_destination(self) -> None:
        """The destination removes what it made; this is for what it was only told of.

        One that cannot do it now, or is just being started anew, is waited for, unless it was never there.
        """
        clock, wait_s = self._course.threads.clock, _TIDY_WAIT_S
        until = clock.monotonic() + TIDY_TIMEOUT_S
        while True:
            try:
                self._ask("VM.remove", id=self._arriving)
            except connect.UnreachableError as error:
                if self._is_unknown_there or clock.monotonic() > until:
                    _LOG.warning("VM %s may still be at its destination: %s", self._arriving, error)
                    return
            except XenopsError as error:
                if isinstance(error.error, DoesNotExist) or clock.monotonic() > until:
                    _LOG.info("VM %s at its destination: %s", self._arriving, error)
                    return
            else:
                return
            self._course.threads.sleep(wait_s)
            wait_s = 2 * wait_s

    # --- from the third point on --------------------------------------------------------------------

    def _agree(self, control: Channel) -> None:
        try:
            control.succeed()
            verdict = control.verdict()
        except XenopsError as lost:
            control.close()
            self.settle(lost)
            return
        if verdict is None:
            self.leave()
            return
        control.close()
        self.settle(XenopsError(_error_in(verdict)))  # it may have given up all the same
        raise internal_error(f"VM.migrate: Failed during Synchronisation point 4. msg: {verdict}")

    def settle(self, lost: XenopsError) -> None:
        """The destination was told, or not; it knows. Raises `lost` when the VM goes on here."""
        match fate_of(self._vm, self._ask, self._course.threads):
            case Fate.ARRIVED:
                self.leave()
            case Fate.GIVEN_UP:
                stay(self._vm, self._course, paused=False)
                raise lost
            case Fate.UNKNOWN:
                self._keep()
                raise internal_error(
                    f"VM {self._vm} was handed to {self._address.endpoint}, which does not answer any more: "
                    f"look whether it runs there; here it stands still, as {self._departing}, until that is "
                    "known"
                )

    def _keep(self) -> None:
        """Clients are told that it is no more here: whether it comes back only the destination knows."""
        course = self._course
        insist(course, f"VM {self._departing} cannot be noted as kept yet", course.keep)
        course.signal(VmObject(id=self._vm))

    def look_again(self) -> bool:
        """Ask once more about a VM that is kept, and answer whether that is over.

        Its task has ended, and somebody may have decided something since: what comes back is paused, and
        what was configured here anew, or is back by another way, counts.
        """
        course = self._course
        if not course.store.exists(self._departing):
            return True
        if course.store.exists(self._vm):
            self.leave()
            return True
        match fate_of(self._vm, self._ask, course.threads, timeout_s=0.0):
            case Fate.ARRIVED:
                self.leave()
            case Fate.GIVEN_UP:
                _LOG.warning("VM %s has not arrived: it is here, paused, unless it runs elsewhere", self._vm)
                stay(self._vm, course, paused=True)
            case Fate.UNKNOWN:
                return False
        return not course.store.exists(self._departing)

    def leave(self) -> None:
        """The VM is no more here, and clients are told so, whatever else comes of the migration."""
        course = self._course.insisting()
        course.held.also(self._departing, course.threads.sleep)
        try:
            if course.store.exists(self._departing):
                self._clear(course)
        finally:
            course.signal(VmObject(id=self._vm))

    def _clear(self, course: Course) -> None:
        devices = course.store.devices(self._departing)
        try:
            course.perform("source: leave", plans.leave(self._vm, devices))
        finally:
            clear(self._departing, course)

    def _ask(self, method: str, **params: Any) -> Any:
        course, verify = self._course, self._operation.verify_dest
        return connect.call(course.network, self._address, method, verify=verify, dbg=course.dbg, **params)


def _error_in(verdict: str) -> Error:
    """A destination sends an error in its wire form, or, of anything unforeseen, a sentence."""
    try:
        error: Error = decode_text(Error, verdict)
    except (JsonError, MarshalError):
        return InternalError(message=verdict)
    return error
