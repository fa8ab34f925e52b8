"""The event hub's core in a test's hand, with a log and a clock of its own."""

from typing import Any

from bus.ports import Entry, Request
from eventhub.core import EventHub
from eventhub.effects import Append, Ask, Effect, Reply
from schema import records
from schema.ids import Offset, TaskId, VmId, WorkerName
from schema.objects.dynamic import ObjectId, VbdObject, VmObject
from schema.operations import VmStart
from schema.records import Record
from schema.rpc import decode_response, encode_request
from schema.wire.types import DeviceId

VM = VmId("vm1")
XVDA = VbdObject(id=DeviceId("vm1", "xvda"))
WORKER = WorkerName("w")
DONE = b'{"result":null,"error":null,"id":0}'


class Hub:
    """A core with a log and a clock of its own; answers are kept by who asked."""

    def __init__(self, *, live: bool = True) -> None:
        self.core = EventHub()
        self.now = 100.0
        self.offset = 0
        self.at = 0.0
        self.answers: dict[str, bytes] = {}
        self.sent = 0
        self.appended: list[Record] = []
        self.worker: bytes | None = None
        if live:
            self.perform(self.core.on_live(self.now))

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Reply(body, addresses):
                    self.sent += 1
                    self.answers |= {address.reply_to: body for address in addresses}
                case Append(record, before):
                    self.appended += [*before, record]
                case Ask(number, _):
                    self.perform(self.core.on_worker_answer(number, self.worker))

    def read(self, *log: Record) -> None:
        for record in log:
            self.core.on_entry(Entry(Offset(self.offset), self.at, record))
            self.offset += 1
        self.tell_if_due()

    def tell_if_due(self) -> None:
        if self.core.due_s(self.now) == 0:
            self.perform(self.core.on_batch(self.now))

    def read_own(self) -> None:
        appended, self.appended = self.appended, []
        self.read(*appended)

    def ask(self, who: str, method: str, **params: Any) -> bytes | None:
        body = encode_request(method, request_id=1, debug_info="lab", **params)
        self.perform(self.core.on_request(Request(body, who, who), self.now))
        self.tell_if_due()
        return self.answers.get(who)

    def get(self, who: str, token: int | None, timeout: int | None = 30) -> Any:
        """The answer of UPDATES.get, or None if it waits."""
        body = self.ask(who, "UPDATES.get", last_id=token, timeout=timeout)
        return None if body is None else decode_response("UPDATES.get", body)

    def told(self, who: str) -> Any:
        return decode_response("UPDATES.get", self.answers[who]) if who in self.answers else None

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.perform(self.core.on_time(self.now))

    def submit(self) -> TaskId:
        task = TaskId(self.offset)
        operation = VmStart(vm=VM)
        self.read(
            records.Submitted(
                vm=VM, operation=operation, request_id="r", dbg="lab", accept_by=2e9, reply_to="inbox"
            )
        )
        return task


def changed(*objects: ObjectId) -> Record:
    return records.Changed(vm=VM, changed=objects or (VmObject(id=VM),))


def finished(task: int) -> Record:
    return records.Finished(vm=VM, task=TaskId(task), outcome=records.Succeeded(), changed=(XVDA,))
