"""Recovery: puts a VM right whose worker has died, or whose operation has failed."""

import logging
from collections.abc import Callable

from schema.atomics.vm import VmRemove
from schema.fault import XenopsError
from schema.ids import TaskId, VmId
from schema.migration import departing_id
from schema.objects.dynamic import ObjectId, VmObject
from schema.objects.errors import InternalError
from schema.objects.vm import PowerState
from schema.operations import (
    AtomicOperation,
    Operation,
    PciCheckState,
    VbdCheckState,
    VbdHotplug,
    VbdHotunplug,
    VifCheckState,
    VifHotplug,
    VifHotunplug,
    VmCheckState,
    VmMigrate,
    VmPoweroff,
    VmReboot,
    VmReceiveMemory,
    VmRestoreDevices,
    VmRestoreVifs,
    VmResume,
    VmShutdown,
    VmStart,
    VmSuspend,
    VusbCheckState,
)
from schema.records import Changed, Failed, Finished, Outcome, Removed, Succeeded

from engine.execute import Executor
from engine.journal import JournalEntry
from engine.lock import Held
from engine.migrate.course import Course
from engine.migrate.recovery import recover
from engine.objects import objects_of
from engine.perform import Performer
from engine.plan import plan
from engine.worker.delay import wanted_delay_s
from engine.worker.tools import Tools
from engine.worker.viewing import view_of

_LOG = logging.getLogger(__name__)
_NO_TASK = TaskId(-1)
_LIVE = (PowerState.RUNNING, PowerState.PAUSED)

Signal = Callable[[ObjectId], None]
"""Told which object has changed."""


def put_right(entry: JournalEntry, tools: Tools, held: Held, signal: Signal) -> Outcome | None:
    """A worker died while it executed this: do what the domain asks for, so that it is intact or gone.

    A migration is brought to its end, on either side: that has an outcome to tell. So has a removal that was
    done.

    Raises:
        XenopsError: the store cannot say what the VM is like; nothing was done, and it is still to be.
    """
    vm, outcome = entry.vm, None
    is_handed_over = entry.handed_over and isinstance(entry.operation, VmMigrate)
    if is_handed_over and _another_has_done_it(entry, tools, held):
        return None
    if isinstance(entry.operation, VmMigrate | VmReceiveMemory):
        _LOG.warning("VM %s: a worker died while it migrated; that is brought to its end", vm)
        course = course_of(entry, tools, held, signal)
        crash = XenopsError(crashed("of this host").error)
        outcome = recover(entry.operation, course, handed_over=entry.handed_over, crash=crash)
    if vm not in held or (isinstance(entry.operation, VmReceiveMemory) and entry.handed_over):
        return outcome  # the name is not ours any more, or it is no VM to be checked before it has its own
    if not tools.store.exists(vm):
        _LOG.warning("VM %s: a worker died while it executed it, and it is not configured any more", vm)
        if removes(entry.operation):
            tools.append(Removed(vm=vm))  # that worker may have told nobody
            return Succeeded()
        return outcome
    _LOG.warning("VM %s: a worker died while it executed it; it is put right", vm)
    perform_check(VmCheckState(vm=vm), vm, tools, signal)
    state = tools.backend.vm.get_state(tools.store.read(vm)).power_state
    if isinstance(entry.operation, VmSuspend) and state is PowerState.SUSPENDED:
        _succeeds(VmShutdown(vm=vm), vm, tools, signal)  # its image is whole: what it leaves may go
    elif state in _LIVE and _is_half_down(entry.operation, vm, tools):
        shut_down(vm, tools, signal)
    for changed in objects_of(vm, tools.store):
        signal(changed)
    return outcome


def _another_has_done_it(entry: JournalEntry, tools: Tools, held: Held) -> bool:
    """Whether a VM that was handed over has been put right meanwhile.

    Its own name is let go of, for it may be the destination's, on this very host. So two may come to put it
    right, who takes the last worker's lease over and who has the next one; its departing id's lock keeps them
    apart, as it does whoever migrates it.
    """
    held.release(entry.vm)
    held.also(departing_id(entry.vm), tools.threads.sleep)
    last = tools.journal.read(entry.vm)
    return last is None or last.finished is not None or (last.life, last.token) != (entry.life, entry.token)


def note_end(entry: JournalEntry, outcome: Outcome, tools: Tools) -> JournalEntry:
    """What was put right is so; answers the entry as it is noted now.

    Whoever still has its lease, another worker of this host, must not take it for one never begun.
    """
    ended = Finished(vm=entry.vm, task=entry.task, outcome=outcome, token=entry.token)
    tools.journal.end(entry, ended)
    return tools.journal.now(entry)


def tell_again(entry: JournalEntry, tools: Tools) -> None:
    """All that a task may have changed: who executed it may have died before anybody heard of it.

    Raises:
        XenopsError: the store cannot say what there is.
    """
    vm, names = entry.vm, [entry.vm]
    if isinstance(entry.operation, VmReceiveMemory):
        names.append(entry.operation.final)
        if not tools.store.exists(vm):
            tools.append(Removed(vm=vm))
    for name in dict.fromkeys(names):
        changed = tuple(objects_of(name, tools.store))
        if not changed and isinstance(entry.operation, VmMigrate):
            changed = (VmObject(id=vm),)  # it has left
        if changed:
            tools.append(Changed(vm=name, changed=changed))


def removes(operation: Operation) -> bool:
    """Whether an operation, done well, leaves no VM."""
    return isinstance(operation, AtomicOperation) and isinstance(operation.atomic, VmRemove)


def _is_half_down(operation: Operation, vm: VmId, tools: Tools) -> bool:
    """Whether an operation that takes a VM down has left it, which is alive, not as it was.

    One that asks no guest first wanted it dead at once. Of others it shows by devices that count as the VM's
    and are unplugged: whoever unplugs one alone lets it count no more.
    """
    match operation:
        case VmPoweroff(timeout_s=None) | VmShutdown(timeout_s=None):
            return True
        case VmPoweroff() | VmShutdown() | VmReboot() | VmSuspend():
            devices, backend = tools.store.devices(vm), tools.backend
            vbds = [backend.vbd.get_state(vm, vbd) for vbd in devices.vbds]
            vifs = [backend.vif.get_state(vm, vif) for vif in devices.vifs]
            return any(vbd.active and not vbd.plugged for vbd in vbds) or any(
                vif.active and not vif.plugged for vif in vifs
            )
        case VmStart() | VmResume() | VmRestoreVifs() | VmRestoreDevices() | VmMigrate() | VmReceiveMemory():
            return False
        case VbdHotplug() | VbdHotunplug() | VifHotplug() | VifHotunplug() | AtomicOperation():
            return False
        case VmCheckState() | VbdCheckState() | VifCheckState() | PciCheckState() | VusbCheckState():
            return False


def course_of(entry: JournalEntry, tools: Tools, held: Held, signal: Signal) -> Course:
    """How a migration goes about its work; for one that is put right, without anybody who could cancel it."""
    return Course(
        store=tools.store,
        backend=tools.backend,
        hooks=tools.hooks,
        cancellation=tools.cancellation(_NO_TASK),
        held=held,
        signal=signal,
        append=tools.append,
        note_handover=lambda: tools.journal.note_handover(entry),
        keep=lambda: tools.journal.keep(entry),
        leave_over=lambda vm: tools.journal.leave_over(entry, vm),
        threads=tools.threads,
        network=tools.network,
        instance=tools.instance,
    )


def crashed(worker: str) -> Failed:
    """How a task ended whose worker died."""
    sentence = f"worker {worker} was restarted while it executed this; the VM was put right: look at it"
    return Failed(error=InternalError(message=sentence))


def perform_check(check: Operation, vm: VmId, tools: Tools, signal: Signal) -> None:
    """Perform a check that is owed; what fails of it is logged, for an earlier failure is what matters.

    One that wants to wait first does so in a task of its own.
    """
    if isinstance(check, VmCheckState) and _wants_delay(check, tools):
        tools.resubmit(check)
    elif not _succeeds(check, vm, tools, signal) and isinstance(check, VmCheckState):
        shut_down(vm, tools, signal)


def shut_down(vm: VmId, tools: Tools, signal: Signal) -> None:
    """What a VM's check found to be done has failed: nothing half done may stay, so the VM is shut down."""
    _LOG.warning("VM %s cannot be put right: it is shut down", vm)
    _succeeds(VmShutdown(vm=vm), vm, tools, signal)


def _succeeds(operation: Operation, vm: VmId, tools: Tools, signal: Signal) -> bool:
    """Perform an operation outside of its task; answers whether it went well."""
    try:
        view = view_of(operation, vm, tools)
        performer = Performer(tools.context(signal))
        Executor(
            plan(operation, view),
            performer.perform,
            tools.cancellation(_NO_TASK),
            lambda _: None,
            branches=tools.branches,
        ).run()
    except XenopsError as error:
        _LOG.warning("VM %s: %s failed: %s", vm, operation.kind, error)
        return False
    except Exception:  # noqa: BLE001  a bug here must not hide the failure before it
        _LOG.exception("VM %s: %s: a bug", vm, operation.kind)
        return False
    return True


def _wants_delay(check: VmCheckState, tools: Tools) -> bool:
    try:
        return wanted_delay_s(check, view_of(check, check.vm, tools)) > 0
    except XenopsError:
        return False
