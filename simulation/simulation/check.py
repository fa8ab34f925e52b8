"""Check: what must be so once all is quiet, whatever happened before."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bus.ports import Entry
from engine.worker.runner import NOT_BEGUN_AGAIN
from eventhub import tokens
from schema.again import UNDECIDED
from schema.ids import VmId
from schema.migration import arriving_id
from schema.objects.dynamic import ObjectId, VmObject
from schema.records import (
    CancelRequested,
    Elected,
    Finished,
    Leased,
    Merged,
    Record,
    Refused,
    Removed,
    Submitted,
)

from simulation.site import Site
from simulation.stage import Stage

TOKENS_TRIED = 6
"""How many of the tokens that a follower ever got are tried again at the end."""


def unsettled(stage: Stage) -> Iterator[str]:
    """What is still under way; what is dear to look at comes last."""
    for site in stage.sites:
        yield from _unsettled_at(site)
    if stage.client.asking:
        yield "the client waits for answers"
    if any(contact.caller.bus.publisher.unconfirmed() for contact in stage.client.contacts):
        yield "the client has unconfirmed records"
    yield from (f"task {asked.task} has not ended for its client" for asked in stage.client.open_tasks())
    for site in stage.sites:
        yield from (f"xapi ends {vm}" for vm in site.xapi.ending)
        if site.xapi.asking:
            yield "xapi waits for answers"
        yield from (f"{vm} is locked" for vm in site.machine.locked())
        yield from (f"what became of {vm} is not known" for vm in site.machine.kept())
        if not site.has_no_worker:
            yield from (f"{name} is still at {site.instance}" for name in _temporary(stage, site))


def _unsettled_at(site: Site) -> Iterator[str]:
    yield from _behind(site)
    cores = [core for core in _redirectors(site) if core.leads]
    if len(cores) != 1:
        yield f"{len(cores)} redirectors lead"
    for core in cores:
        if lanes := [lane.vm for lane in core.lanes.all()]:
            yield f"lanes are kept: {lanes}"
        if len(core.lanes):
            yield f"waiting: {[task.id for task in core.lanes.every()]}"
        yield from (
            f"{worker.name} has {list(worker.leases)}" for worker in core.workers.all() if worker.leases
        )
    for worker in _services(site, "worker"):
        if worker._running:
            yield f"running: {list(worker._running)}"
    for core in _cores(site, "eventhub"):
        if core._fold.updates.barriers:
            yield f"barriers stand: {core._fold.updates.barriers}"
    for core in _cores(site, "frontend"):
        if core._pending:
            yield f"a frontend waits for what becomes of {list(core._pending)}"
    if not any(seat.lost for seat in site.seats.values()):
        yield from _unknown(site)


def _behind(site: Site) -> Iterator[str]:
    """Who does not run, or has not read or written all, but for those that are lost."""
    log = site.log
    for seat in site.seats.values():
        process = seat.process
        if seat.lost:
            continue
        if process is None or not process.life.alive:
            yield f"{seat.name} does not run"
            continue
        if process.bus.publisher.unconfirmed():
            yield f"{seat.name} has unconfirmed records"
        reader = process.bus.reader_of(site.instance)
        if seat.name[0] != "f" and (reader is None or reader.next < len(log) or not reader.is_of_log):
            yield f"{seat.name} has not read the log"


def _unknown(site: Site) -> Iterator[str]:
    """What is so, and who follows the updates does not know."""
    follower = site.follower
    if follower.busy:
        yield "the follower looks at VMs"
    for watched, believed in follower.view.items():
        truth = site.machine.truth(watched)
        if truth is None and not isinstance(watched, VmObject):
            continue  # it went with its VM: of devices nobody is told then, as in the original
        if believed is not truth:
            yield f"{watched} is {truth}, and who follows the updates believes that it is {believed}"


def lingering(stage: Stage) -> Iterator[str]:
    """What hosts that were not left alone for so long still have of VMs that have not come."""
    arriving = {arriving_id(VmId(vm)) for vm in stage.scenario.vms}
    for site in stage.sites:
        if not site.has_no_worker:
            yield from (
                f"{vm} is announced at {site.instance} for good" for vm in site.machine.names() & arriving
            )


def final_complaints(stage: Stage) -> list[str]:
    """What is wrong at the end."""
    return [
        *(complaint for site in stage.sites for complaint in _complaints_at(stage, site)),
        *_places(stage),
    ]


def _complaints_at(stage: Stage, site: Site) -> Iterator[str]:
    story = _story(site)
    yield from _leaks(stage, site)
    yield from _vms(stage, site)
    yield from _log(stage, site, story)
    yield from _news(site, story)
    yield from site.snapshots.complaints()


def _places(stage: Stage) -> Iterator[str]:
    """Where VMs migrate, each is at one place in the end, under its own name."""
    if len(stage.sites) == 1:
        return
    for vm in stage.scenario.vms:
        if (count := sum(site.machine.knows(vm) for site in stage.sites)) != 1:
            yield f"{vm} is configured {count} times"
    for site in stage.sites:
        yield from (f"{name} is left at {site.instance}" for name in _temporary(stage, site))


def _temporary(stage: Stage, site: Site) -> list[str]:
    """What there is under a name that a VM bears only while it migrates."""
    return sorted(site.machine.names() - set(stage.scenario.vms))


def _services(site: Site, kind: str) -> list[Any]:
    return [
        seat.process.service
        for name, seat in site.seats.items()
        if name.startswith(kind) and seat.process is not None and not seat.lost
    ]


def _cores(site: Site, kind: str) -> list[Any]:
    cores = []
    for service in _services(site, kind):
        instances = service._instances
        one = instances[site.instance] if isinstance(instances, dict) else instances[0]
        cores.append(one._core)
    return cores


def _redirectors(site: Site) -> list[Any]:
    return _cores(site, "redirector")


def _leaks(stage: Stage, site: Site) -> Iterator[str]:
    """Whatever is kept of what has ended."""
    yield from _leaks_of_redirectors(site)
    yield from _leaks_of_hubs(site)
    for worker in _services(site, "worker"):
        for name in ("_submitted", "_leases", "_cancelled", "_parked"):
            if getattr(worker._core, name):
                yield f"a worker keeps {name}: {getattr(worker._core, name)}"
    disk_was_full = any(step.kind == "disk_full" for step in stage.scenario.steps)
    for entry in () if disk_was_full else site.machine.unfinished():
        yield f"the journal says that task {entry.task} of {entry.vm} is executed"


def _leaks_of_redirectors(site: Site) -> Iterator[str]:
    for core in _redirectors(site):
        for name in ("followers", "repeats", "cancels"):
            kept = getattr(core.fold, name)
            if list(kept.items()):
                yield f"a redirector keeps {name}: {list(kept.items())}"
        if core._lost:
            yield f"a redirector keeps lost tasks: {core._lost}"
        if lanes := [lane.vm for lane in core.lanes.all()]:
            yield f"a redirector keeps lanes: {lanes}"


def _leaks_of_hubs(site: Site) -> Iterator[str]:
    for core in _cores(site, "eventhub"):
        for name in ("_behind", "_writes", "_read_back", "_with_worker"):
            if name == "_behind" and site.follower.has_begun_anew:
                continue  # a token may lie beyond the end of a log that has lost it: it waits for a while
            if getattr(core, name):
                yield f"an event hub keeps {name}: {getattr(core, name)}"
        for task in core._fold.tasks.all():
            if not task.finished:
                yield f"an event hub waits for the end of task {task.id}"


def _vms(stage: Stage, site: Site) -> Iterator[str]:
    """A hypervisor that fails again while a VM is put right leaves it half made: nothing more can be done."""
    machine = site.machine
    failed = [step.vm for step in stage.scenario.steps if step.kind == "verb_fails"]
    for vm in stage.scenario.vms:
        if machine.half_made(vm) and failed.count(vm) < 2:
            yield f"{vm} is half made: {machine.records.read(vm)}"


@dataclass(slots=True)
class _Story:
    """What the log says, read as every reader reads it."""

    submitted: dict[int, Submitted] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    merged: dict[int, int] = field(default_factory=dict)
    leased: set[int] = field(default_factory=set)
    places: dict[ObjectId, int] = field(default_factory=dict)
    term: int = -1
    cancelled: dict[int, int] = field(default_factory=dict)
    read_by: dict[str, int] = field(default_factory=dict)
    disobeyed: list[int] = field(default_factory=list)
    doubted: set[int] = field(default_factory=set)

    def read(self, entry: Entry) -> None:
        """The next record."""
        offset, record = entry.offset, entry.record
        self._watch_cancels(offset, entry.producer, record)
        match record:
            case Submitted():
                self.submitted[offset] = record
            case Refused(task=task) | Finished(task=task):
                self.ended.add(task)
                if NOT_BEGUN_AGAIN in record.model_dump_json():
                    self.doubted.add(task)
            case Merged(task=task, into=into):
                self.merged[task] = into
            case Leased(task=task):
                self.leased.add(task)
            case Removed(vm=vm):
                self.places = {known: at for known, at in self.places.items() if _vm_of(known) != vm}
            case _:
                pass
        for changed in getattr(record, "changed", ()):
            self.places[changed] = tokens.place_after(offset)

    def _watch_cancels(self, offset: int, producer: str, record: Record) -> None:
        """Who leases a task has read all up to its election, and up to each task that it leased before.

        If a cancel of the task stands there, from when it waited, it is leased by one who knew of it.
        """
        match record:
            case Elected():
                self.term = offset
            case CancelRequested(task=task) if task in self.submitted and task not in self.leased:
                self.cancelled.setdefault(task, offset)
            case Leased(task=task, term=term) if term == self.term:
                known = max(term, self.read_by.get(producer, -1))
                if self.cancelled.get(task, known) < known:
                    self.disobeyed.append(task)
                self.read_by[producer] = max(known, task)
            case _:
                pass

    def ends(self, task: int) -> bool:
        """Whether a task, or the one that it was merged into, has ended."""
        while task not in self.ended and task in self.merged:
            task = self.merged[task]
        return task in self.ended


def _vm_of(device: ObjectId) -> str | None:
    """Whose device it is; None for a VM or a task: that one of those is gone is news like any other."""
    return None if isinstance(device.id, str) else device.id.vm


def _story(site: Site) -> _Story:
    story = _Story()
    for entry in site.home.world.broker.entries(site.instance):
        story.read(entry)
    return story


def _log(stage: Stage, site: Site, story: _Story) -> Iterator[str]:
    """Each accepted task ends; what clients were told of their requests stays true; cancels are obeyed."""
    yield from (f"task {task} was leased by one who knew that it is cancelled" for task in story.disobeyed)
    if not any(step.kind == "log_lost" for step in stage.scenario.steps):
        yield from (
            f"task {task} is taken for one that a log has lost that lost none" for task in story.doubted
        )
    yield from (f"task {task} never ends" for task in story.submitted if not story.ends(task))
    requests = [story.submitted[task].request_id for task in story.leased if task in story.submitted]
    yield from (f"request {each} was run twice" for each in set(requests) if requests.count(each) > 1)
    all_run = [story.submitted[task].dbg for task in story.leased if task in story.submitted]
    run = set(all_run)
    for asked in stage.client.asked:
        if asked.where.instance != site.instance or asked.gone:
            continue
        if asked.task is not None and int(asked.task) not in story.submitted:
            yield f"{asked.dbg} was told task {asked.task}, which is none"
        if all_run.count(asked.dbg) > 1:
            yield f"{asked.dbg} was asked for once and run twice"
        is_refused = asked.refused is not None and UNDECIDED not in asked.refused
        if is_refused and asked.dbg in run:
            yield f"{asked.dbg} was told that its request is refused, and it was run"


def _news(site: Site, story: _Story) -> Iterator[str]:
    """Who goes on from any token it ever got is told of all that changed since."""
    got = site.follower.tokens
    for core in _cores(site, "eventhub"):
        for token in got[:: max(1, len(got) // TOKENS_TRIED)]:
            place = core._fold.place_of(token) or tokens.START
            told = set(core._fold.updates.since(place).objects)
            missed = [changed for changed, at in story.places.items() if at > place and changed not in told]
            if missed:
                yield f"who goes on from token {token} is not told of {missed}"
                return
