"""The worker's shell: reads the log, runs leases in threads, answers the control queue, reports changes."""

import logging
import uuid
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import version

from bus.crash import CrashPoints
from bus.fold import FoldOf
from bus.insist import Insistent
from bus.ports import Bus, Entry
from bus.topology import control_queue
from schema.fault import internal_error
from schema.ids import TaskId, VmId
from schema.objects.dynamic import ObjectId, vm_of
from schema.operations import VbdCheckState
from schema.records import Changed, Heartbeat, Parked, Record, Submitted
from traces import ObserverLog, Tracer

from engine.cancellation import Cancellation
from engine.check import Check, check_of
from engine.control import Control, RequestContext
from engine.hooks import Hooks
from engine.migrate.offers import Offers
from engine.worker.announced import AnnouncedVms
from engine.worker.control_queue import ControlQueue
from engine.worker.core import (
    Append,
    Cancel,
    Compare,
    Effect,
    Fence,
    Forget,
    Lease,
    Offer,
    Run,
    TakeOver,
    TellAll,
    WorkerCore,
)
from engine.worker.host import Host
from engine.worker.orphans import Orphans
from engine.worker.parking import Parking
from engine.worker.removed import RemovedVms
from engine.worker.reporter import INTERVAL_S
from engine.worker.retelling import tell_all, tell_noted
from engine.worker.runner import Runner
from engine.worker.settings import WorkerSettings
from engine.worker.stranded import LOOK_AGAIN_S, StrandedVms
from engine.worker.tools import Tools
from engine.worker.untold import Untold

HEARTBEAT_S = 5.0
"""How often a worker shows that it lives; the redirector's patience is four of these."""

STOP_TIMEOUT_S = 30.0
"""How long a worker that shall stop waits for what it runs; the next one puts the rest right."""

CHECK_ACCEPT_S = 24 * 3600.0
"""A backend's event waits this long for a redirector: nobody would submit it again."""

TRIGGERS_MAX = 1_000
"""Triggers that wait for a task of their name: they are for tests."""

_EVENT = "event"
"""What tasks are called that a backend's event made; as in the original."""

_LOG = logging.getLogger("worker")


class WorkerService:
    """One worker of one instance."""

    def __init__(self, bus: Bus, settings: WorkerSettings, host: Host) -> None:
        self._bus = bus
        self._log = Insistent(bus, settings.instance)
        self._settings = settings
        self._backend = host.backend
        self._threads = host.threads
        self._core = WorkerCore(settings.name, uuid.uuid4().hex, settings.capacity, _own_version())
        tracer = Tracer("xenopsd-worker", settings.instance)
        self._tools = Tools(
            store=host.store,
            backend=host.backend,
            hooks=Hooks(settings.hooks, tracer),
            journal=host.journal,
            locks=host.locks,
            threads=host.threads,
            network=host.network,
            tracer=tracer,
            resubmit=lambda check: self._submit(check, check.vm),
            instance=settings.instance,
            append=self._append,
            offers=Offers(host.threads, host.network),
            running=lambda: len(self._running) - len(self._parking),
            crash=CrashPoints(settings.crash),
        )
        self._observers = ObserverLog(bus, settings.instance, tracer)
        self._running: dict[TaskId, Runner] = {}
        self._removed = RemovedVms(self._tools)
        self._triggers: dict[str, int] = {}
        self._parking = Parking(self._go_on, bus.later)
        self._stranded = StrandedVms(self._tools, self._signal)
        self._announced = AnnouncedVms(self._tools, self._signal, self._core.expects)
        self._orphans = Orphans(settings.name, self._tools, self._signal)
        context = self._tools.context(self._signal)
        control = Control(RequestContext(context, self, self._observers, settings.instance))
        self._untold = Untold(settings.state / "untold", settings.name, self._core.epoch, self._log)
        self._control_queue = ControlQueue(bus, control, self._tools, self._untold)

    def start(self) -> None:
        """Find what runs, read the log, take leases, answer requests."""
        self._backend.start(self.on_change)
        instance = self._settings.instance
        self._log.start()
        self._observers.start()
        fold = FoldOf(self._on_entry, self._on_live, self._core.snapshot, self._core.restore)
        self._bus.follow(instance, f"worker.{self._settings.name}", fold)
        self._bus.serve(control_queue(instance), self._control_queue.on_request)
        self._bus.every(HEARTBEAT_S, self._show_life)
        self._bus.every(INTERVAL_S, self._tell)
        self._bus.every(LOOK_AGAIN_S, self._stranded.look)
        self._bus.every(LOOK_AGAIN_S, self._announced.look)

    def stop(self) -> None:
        """Take no more, end what runs if it does not take long, let go of the backend; VMs run on."""
        self._bus.call_soon(lambda: self._do(self._core.on_stop()))
        self._threads.wait_for(
            lambda: all(map(self._parking.__contains__, list(self._running))), STOP_TIMEOUT_S
        )
        self._parking.close()
        self._control_queue.close()
        self._threads.close()
        self._backend.stop()
        self._tools.tracer.close()

    def set_capacity(self, capacity: int) -> None:
        """Execute so many VMs at a time from now on."""
        self._bus.call_soon(lambda: self._do(self._core.on_capacity(capacity)))

    def is_rebooting(self, vm: VmId) -> bool:
        """Whether a VM is between its two lives."""
        return any(runner.reboots(vm) for runner in list(self._running.values()))

    def has_arrived(self, vm: VmId) -> bool:
        """Whether that is the arrived id of a VM that was taken in here, wherever it is now."""
        return self._tools.journal.has_arrived(vm)

    def is_leaving(self, vm: VmId) -> bool:
        """Whether a VM bears its departing id here."""
        return self._tools.journal.is_leaving(vm)

    def cancel_next(self, dbg: str, point: int) -> None:
        """DEBUG.trigger's set-cancel-trigger: the next task of that name cancels itself at that point."""
        if len(self._triggers) >= TRIGGERS_MAX:
            raise internal_error(
                f"{TRIGGERS_MAX} cancel triggers wait already: start the tasks that they are for"
            )
        self._triggers[dbg] = point

    def check(self, check: VbdCheckState) -> None:
        """A request has changed what a disk shall be held to."""
        self._submit(check, VmId(check.id.vm))

    def on_change(self, changed: ObjectId) -> None:
        """Something has changed by itself: tell clients, and look whether something is to be done."""
        vm = vm_of(changed)
        if vm is None:
            return
        self._append(Changed(vm=vm, changed=(changed,)))
        check = check_of(changed)
        if check is not None:
            self._submit(check, vm)

    def _submit(self, check: Check, vm: VmId) -> None:
        """Have a check done as a task that nobody has asked for."""
        self._append(
            Submitted(
                vm=vm,
                operation=check,
                request_id=uuid.uuid4().hex,
                dbg=_EVENT,
                accept_by=self._threads.clock.now() + CHECK_ACCEPT_S,
            )
        )

    def _append(self, record: Record) -> None:
        if isinstance(record, Heartbeat):
            self._log.mention(record)
        else:
            self._log.append(record)

    def _on_entry(self, entry: Entry) -> None:
        effects = self._core.on_entry(entry)
        if (life := self._core.life) is not None:
            self._tools.journal.meet(life)
        self._do(effects)

    def _on_live(self) -> None:
        """Executions that nobody leases any more and that a dead worker left are put right first."""
        effects = self._core.on_live()
        leased = {(effect.lease.life, effect.lease.token) for effect in effects if isinstance(effect, Run)}
        unfinished = list(self._tools.journal.unfinished())
        busy = {effect.lease.submitted.vm for effect in effects if isinstance(effect, Run)}
        self._removed.forget_earlier(busy | {entry.vm for entry in unfinished})
        for entry in unfinished:
            if (entry.life, entry.token) not in leased:
                self._threads.begin(partial(self._orphans.put_right, entry.vm, entry.task))
        self._do(effects)
        if untold := tuple(self._untold.left()):
            self._threads.begin(partial(tell_noted, untold, self._untold, self._tools))
        if self._tools.journal.kept():
            self._threads.begin(self._recall)
        _LOG.info("worker %s: instance %s is served", self._settings.name, self._settings.instance)

    def _recall(self) -> None:
        """What stands here under temporary ids is named at once, not when its destination is asked next."""
        self._stranded.recall()
        self._bus.call_soon(self._show_life)

    def _show_life(self) -> None:
        self._do(self._core.on_time(self._stranded.standing()))

    def _signal(self, changed: ObjectId) -> None:
        vm = vm_of(changed)
        if vm is not None:
            self._append(Changed(vm=vm, changed=(changed,)))

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Append(record):
                    self._append(record)
                case Run() as run:
                    self._run(run)
                case Cancel(task):
                    self._stop(task, Cancellation.cancel)
                case Offer(offer):
                    self._tools.offers.put(offer)
                case Fence(task):
                    self._stop(task, Cancellation.fence)
                case TellAll():
                    tell_all(self._tools)
                case Compare(finished):
                    self._threads.begin(partial(self._orphans.compare, finished))
                case TakeOver(finished):
                    if self._orphans.is_half_done(finished):
                        self._threads.begin(partial(self._orphans.put_right, finished.vm, finished.task))
                case Forget(vm):
                    for oldest in self._removed.note(vm):
                        self._threads.begin(partial(self._removed.forget, oldest))

    def _stop(self, task: TaskId, how: Callable[[Cancellation], None]) -> None:
        if (runner := self._running.get(task)) is not None:
            how(runner.cancellation)
            self._parking.wake(task)

    def _run(self, run: Run) -> None:
        lease = run.lease
        trigger = self._triggers.pop(lease.submitted.dbg, None)
        cancellation = self._tools.cancellation(lease.task, trigger)
        if run.cancelled:
            cancellation.cancel()
        runner = Runner(lease, self._tools, cancellation, until=run.until)
        self._running[lease.task] = runner
        self._threads.begin(partial(self._run_on, lease, runner))

    def _run_on(self, lease: Lease, runner: Runner) -> None:
        """To its end, or until it wants to wait."""
        pause_s = None
        try:
            pause_s = runner.run(self._settings.name)
        finally:
            if pause_s is None:
                self._ended(lease.task)
        if pause_s is not None:
            self._park(lease, runner, pause_s)

    def _ended(self, task: TaskId) -> None:
        self._running.pop(task, None)
        self._threads.stir()

    def _park(self, lease: Lease, runner: Runner, pause_s: float) -> None:
        """Let it wait without a thread, and let another have its slot."""
        until = self._threads.clock.now() + pause_s
        self._append(Parked(vm=lease.submitted.vm, task=lease.task, token=lease.token, until=until))
        self._parking.put(lease.task, pause_s)
        if runner.cancellation.wanted:
            self._parking.wake(lease.task)
        self._threads.stir()

    def _go_on(self, task: TaskId) -> None:
        if (runner := self._running.get(task)) is not None:
            self._threads.begin(partial(self._run_on, runner.lease, runner))

    def _tell(self) -> None:
        for runner in list(self._running.values()):
            runner.reporter.tell_if_due()


@cache
def _own_version() -> str:
    return version("xenops-engine")
