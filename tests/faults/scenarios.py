"""Scenarios: what befalls a room while clients work in it; each answers what became of all promises."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bus.ports import Entry
from history import Counts, History, judge, read_tale
from load import Load, is_valid
from room import FLUSHED_S, HERE, PATIENCE_S, Room, eventually
from schema.ids import TaskId
from schema.records import Elected, Finished, Leased, Record, Submitted, WorkerDown
from stack.broker.node import PrivateNode


@dataclass(slots=True)
class Outcome:
    """The counts of one scenario, and how long after each fault a new task was done."""

    counts: Counts
    faults: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


class Fire:
    """A room under load; `strike` does something bad, from which work must recover."""

    def __init__(self, room: Room, lives: int = 6) -> None:
        self.room = room
        self._history = History(room.url, HERE)
        self._load = Load(room, HERE, lives)
        self._struck: list[float] = []

    def strike(self, fault: Callable[[], None]) -> None:
        """Do it, and wait until several tasks have ended that were asked for afterwards."""
        self._struck.append(time.time())
        fault()
        self.goes_on()

    def goes_on(self) -> None:
        """Wait until several more tasks have ended, in the middle of a fault."""
        self._load.progress(2 * len(self._load.lives))

    def run(self, *faults: Callable[[], None]) -> Outcome:
        """Load, one fault after the other, quiet, the verdict."""
        try:
            with self._load:
                self._load.progress(len(self._load.lives))
                for fault in faults:
                    self.strike(fault)
            complaints = [] if self._all_end() else ["some tasks have not ended"]
            self._load.settle()
            return self._outcome([*complaints, *map(str, self._load.failures())])
        finally:
            self._load.end()
            self._load.settle()
            self._history.close()

    def log_says_lost(self, worker: str) -> bool:
        """Whether a worker was called lost since the first fault, or with it what it ran."""
        return any(
            entry.at >= self._struck[0] and _says_lost(entry.record, worker)
            for entry in list(self._history.entries)
        )

    def _all_end(self) -> bool:
        """Wait until the log says the end of all that was accepted."""
        return self._history.wait(lambda log: not read_tale(log).open(), PATIENCE_S)

    def _outcome(self, complaints: list[str]) -> Outcome:
        client = self.room.client(HERE)
        vms = [life.vm for life in self._load.lives]
        invalid = [vm for vm in vms if not eventually(lambda vm=vm: is_valid(client, vm))]  # type: ignore[misc]
        states = {vm: eventually(lambda vm=vm: client.vm.stat(vm)[1].power_state) for vm in vms}  # type: ignore[misc]
        missed = [vm for vm in vms if self._load.mirror.seen.get(vm) != states[vm]]
        judged, broken = judge(
            read_tale(self._history.entries), self._load.promises, self.room.hooks_run(HERE)
        )
        forgotten = sum(len(life.forgotten) for life in self._load.lives)
        counts = judged + Counts(lost=forgotten, invalid=len(invalid), missed=len(missed))
        complaints += broken
        complaints += [f"invalid: {vm}" for vm in invalid] + [f"missed: {vm}" for vm in missed]
        complaints += [f"has ended: {name}" for name in self.room.dead()]
        if bug := self.room.bug():
            complaints.append(f"a service met a bug: {bug}")
        recoveries = [recovery_s(self._history.entries, at) for at in self._struck]
        return Outcome(counts, len(self._struck), recoveries, complaints)


def _says_lost(record: Record, worker: str) -> bool:
    if isinstance(record, WorkerDown):
        return record.worker == worker
    return isinstance(record, Finished) and f"worker {worker} was lost" in record.model_dump_json()


def recovery_s(log: list[Entry], struck: float) -> float:
    """From a fault to the end of the first task that was asked for after it."""
    asked: set[TaskId] = set()
    for entry in log:
        if isinstance(entry.record, Submitted) and entry.at >= struck:
            asked.add(TaskId(entry.offset))
        if isinstance(entry.record, Finished) and entry.record.task in asked:
            return entry.at - struck
    return float("inf")


def passage_s(log: list[Entry], killed: float) -> float:
    """From the death of a leader to the first lease of the next."""
    terms = {int(entry.offset) for entry in log if isinstance(entry.record, Elected) and entry.at >= killed}
    leases = [
        entry.at for entry in log if isinstance(entry.record, Leased) and int(entry.record.term) in terms
    ]
    return min(leases, default=float("inf")) - killed


def restarts(room: Room, name: str) -> Callable[[], None]:
    """A service is killed and comes back."""
    return lambda: room.restart(name)


def rolls(room: Room) -> Callable[[], None]:
    """Each process is told to end, and started anew, one after the other."""

    def roll() -> None:
        for name in room.parts:
            assert room.end(name) == 0, f"{name} did not end well"
            room.start(name)
            room.await_answers()

    return roll


def pauses(room: Room, name: str, until: Callable[[], bool]) -> Callable[[], None]:
    """A service stands still until something has come to pass, then goes on."""

    def pause() -> None:
        room.pause(name)
        try:
            until_true(until)
        finally:
            room.resume(name)

    return pause


def until_true(holds: Callable[[], bool]) -> None:
    """Wait for a state."""
    quiet, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "what was waited for has not come"
        quiet.wait(0.05)


def broker_restarts(node: PrivateNode, away_s: list[float]) -> Callable[[], None]:
    """The broker is killed and comes back; notes how long nobody could have been served."""

    def restart() -> None:
        time.sleep(FLUSHED_S)
        killed = time.monotonic()
        node.kill()
        node.start()
        away_s.append(time.monotonic() - killed)

    return restart


def stands_still(room: Room, node: PrivateNode, name: str) -> Callable[[], None]:
    """A service stands still until the broker has given its connection up."""

    def pause() -> None:
        module = room.parts[name].module
        before = connections(node, module)
        pauses(room, name, lambda: connections(node, module) < before)()

    return pause


def connections(node: PrivateNode, name: str) -> int:
    """How many connections of a name a broker has."""
    told = node.ctl("list_connections", "--quiet", "--formatter", "json", "client_properties")
    return sum(["connection_name", "longstr", name] in one["client_properties"] for one in json.loads(told))


def memory_alarm(room: Room, node: PrivateNode) -> Callable[[], None]:
    """The broker has no memory left for a while."""
    return alarms(
        room,
        lambda: node.ctl("set_vm_memory_high_watermark", "absolute", "1MB"),
        lambda: node.ctl("set_vm_memory_high_watermark", "0.4"),
    )


def disk_alarm(room: Room, node: PrivateNode) -> Callable[[], None]:
    """The broker's disk is full for a while."""
    return alarms(
        room,
        lambda: node.ctl("set_disk_free_limit", "100000GB"),
        lambda: node.ctl("set_disk_free_limit", "50MB"),
    )


def alarms(room: Room, set_alarm: Callable[[], object], clear: Callable[[], object]) -> Callable[[], None]:
    """The broker takes nothing until every service that writes was told so."""

    def alarm() -> None:
        before = room.words().count("takes no messages")
        set_alarm()
        try:
            until_true(lambda: room.words().count("takes no messages") >= before + 2)
        finally:
            clear()

    return alarm


def leader_dies(room: Room, passages_s: list[float]) -> Callable[[], None]:
    """The leading redirector is killed, and comes back, to stand by, when the next one has leased."""

    def die() -> None:
        history = History(room.url, HERE)
        names = [name for name, part in room.parts.items() if part.module == "redirector"]
        leader = max(names, key=lambda name: _led_last(room.words_of(name)))
        killed = time.time()
        room.kill(leader)
        try:
            if not history.wait(lambda log: passage_s(log, killed) < float("inf"), PATIENCE_S):
                raise AssertionError(f"nobody leads after the death of {leader}")
            passages_s.append(passage_s(history.entries, killed))
        finally:
            history.close()
            room.start(leader)
        room.await_ready(leader)  # else its own start would count for the next one's passage

    return die


def _led_last(words: str) -> str:
    """When a redirector began to lead, as its log has it."""
    return max((line[:23] for line in words.splitlines() if line.endswith(": leads")), default="")


def assert_clean(outcome: Outcome) -> None:
    """Nothing was lost, run twice, stuck or left invalid, and something was promised at all."""
    print(outcome.counts, outcome.recoveries_s, *outcome.complaints, sep="\n")  # noqa: T201  what was counted
    assert outcome.complaints == []
    assert outcome.counts.promised > 0
    assert outcome.counts.clean, outcome.counts
