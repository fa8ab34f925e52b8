"""The page on a bus in memory, served on a real port; whoever else it asks is in a test's hand."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from bus.memory import MemoryBroker, MemoryBus
from bus.ports import Request
from bus.process import Settings as BusSettings
from bus.quarantine import escaped
from bus.roles import Role
from bus.topology import EXCHANGE, control_queue, events_queue, lanes_queue, routing_key
from bus.users import user_of
from dashboard.operators import Operator, OperatorRole, tokens_text
from dashboard.service import Service, build
from dashboard.settings import Settings
from schema import records
from schema.fault import XenopsError
from schema.ids import InstanceName, LeaseToken, TaskId, Term, VmId, WorkerName
from schema.objects.errors import DoesNotExist
from schema.objects.events import Events
from schema.objects.lane import Lane, Lanes, LaneTasks, Worker
from schema.objects.quarantine import Quarantine, QuarantinedRecord
from schema.operations import VmStart
from schema.records import ENVELOPE, Envelope, Record
from schema.rpc import decode_request, encode_failure, encode_result

INSTANCE = InstanceName("org.xen.lab")
READER, OPERATOR = "r" * 40, "o" * 40
HUB_VERSION = "7.8.9"
WORKER = WorkerName("w")
PATIENCE_S = 120.0

Answer = Callable[[dict[str, Any]], Any]


class Clock:
    """The system's, which a test may set forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


@dataclass(frozen=True, slots=True)
class Reply:
    """What the page answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Page:
    """A dashboard, a log, and answers by method; without one, nobody answers."""

    def __init__(self, folder: Path) -> None:
        self.tokens = folder / "tokens"
        self.tokens.touch(mode=0o600)
        people = [
            (Operator("bob", OperatorRole.READER), READER),
            (Operator("alice", OperatorRole.OPERATOR), OPERATOR),
        ]
        self.tokens.write_text(tokens_text(people))
        self.broker = MemoryBroker()
        self.bus = MemoryBus(self.broker, "other")
        self.clock = Clock()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Answer] = (
            {
                "LANE.list": lambda _: Lanes(total=0, waiting=0, lanes=()),
                "LANE.stat": lambda params: LaneTasks(lane=lane(params["id"]), tasks=()),
                "WORKER.list": lambda _: (worker(),),
                "EVENTS.stat": lambda _: Events(
                    token=5, seen=5, objects=3, readers=(), barriers=(), version=HUB_VERSION
                ),
                "QUARANTINE.list": lambda _: Quarantine(total=0, records=()),
                "Task.stat": self._no_task,
                "get_diagnostics": lambda _: '{"tasks":[]}',
            }
            | dict.fromkeys(
                ("Task.cancel", "LANE.hold", "LANE.release", "LANE.prioritise", "LANE.set_deadline"),
                lambda _: None,
            )
            | dict.fromkeys(("WORKER.drain", "WORKER.undrain"), lambda _: None)
            | dict.fromkeys(("QUARANTINE.retry", "QUARANTINE.discard"), lambda _: None)
        )
        for queue in (lanes_queue(INSTANCE), events_queue(INSTANCE)):
            self.bus.serve(queue, self._answer)
        self.own = MemoryBus(self.broker, "dashboard")
        self.own.clock = self.clock
        url, traces = folder / "url", "https://traces.example/?id={trace}"
        settings = Settings(BusSettings((INSTANCE,)), self.tokens, url_file=url, traces=traces)
        self.service: Service = build(self.own, settings)
        self._offsets = 0

    def __enter__(self) -> Self:
        self.service.start()
        self.await_("/readyz", lambda reply: reply.status == http.client.OK)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.service.stop()
        self.own.close()
        self.bus.close()

    def has_vms(self, *vms: str) -> None:
        """A worker is there from now on, which knows these VMs."""
        if "VM.exists" not in self.answers:
            self.bus.serve(control_queue(INSTANCE), self._answer)
        self.answers["VM.exists"] = lambda params: params["id"] in vms

    @staticmethod
    def _no_task(params: dict[str, Any]) -> Any:
        raise XenopsError(DoesNotExist(klass="task", id=params["id"]))

    def _answer(self, request: Request) -> None:
        call = decode_request(request.body)
        self.asked.append((call.method, dict(call.params)))
        answer = self.answers.get(call.method)
        if answer is None or request.reply_to is None:
            return
        try:
            body = encode_result(call.method, answer(dict(call.params)))
        except XenopsError as error:
            body = encode_failure(error.error)
        self.bus.send(request.reply_to, Request(body, correlation_id=request.correlation_id))

    def append(self, *log: Record) -> int:
        """Append, wait until the page has read it; answers the last one's offset."""
        self.bus.append(INSTANCE, *log).result()
        offset = max(
            place for place, envelope in enumerate(self.broker.log(INSTANCE)) if envelope.record == log[-1]
        )
        path = f"/api/v1/instances/{INSTANCE}"
        self.await_(path, lambda reply: reply.json["offset"] >= offset)
        return offset

    def submit(self, vm: str = "vm1", dbg: str = "lab") -> TaskId:
        operation = VmStart(vm=VmId(vm))
        self._offsets += 1
        return TaskId(
            self.append(
                records.Submitted(
                    vm=VmId(vm), operation=operation, request_id=f"r{self._offsets}", dbg=dbg, accept_by=2e9
                )
            )
        )

    def run(self, task: TaskId, vm: str = "vm1", worker: WorkerName = WORKER) -> LeaseToken:
        term = Term(self.append(records.Elected(redirector=f"r{self._offsets}{task}")))
        return LeaseToken(self.append(records.Leased(vm=VmId(vm), task=task, worker=worker, term=term)))

    def written(self, kind: str) -> list[Record]:
        """The records of a kind in the log."""
        return [one.record for one in self.broker.log(INSTANCE) if one.record.kind == kind]

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = READER,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One request, as a program makes it."""
        sent = {"authorization": f"Bearer {token}"} if token else {}
        content = body
        if isinstance(body, dict):
            content, sent["content-type"] = json.dumps(body), "application/json"
        return self._send(method, path, content, {**sent, **(headers or {})})

    def get(self, path: str, **more: Any) -> Reply:
        """What is at a path below the instance."""
        return self.ask("GET", f"/api/v1/instances/{INSTANCE}{path}", **more)

    def act(self, path: str, body: Any = None, token: str | None = OPERATOR) -> Reply:
        """Ask for an action below the instance."""
        return self.ask("POST", f"/api/v1/instances/{INSTANCE}{path}", token=token, body=body)

    def form(self, path: str, cookie: str = "", **fields: str) -> Reply:
        """Send a form, as a browser does."""
        headers = {"content-type": "application/x-www-form-urlencoded", "cookie": cookie}
        return self._send("POST", path, urlencode(fields), headers)

    def enter(self, token: str = OPERATOR) -> str:
        """Sign in; answers the cookie."""
        reply = self.form("/login", token=token)
        assert reply.status == http.client.SEE_OTHER
        return reply.headers["set-cookie"].partition(";")[0]

    def screen(self, cookie: str, name: str) -> Reply:
        """A screen of the instance."""
        return self._send("GET", f"/i/{INSTANCE}/{name}", None, {"cookie": cookie})

    def await_(self, path: str, done: Callable[[Reply], bool]) -> Reply:
        """Ask until the answer is as it should be."""
        deadline = time.monotonic() + PATIENCE_S
        while not done(reply := self.ask("GET", path)):
            assert time.monotonic() < deadline, reply
            threading.Event().wait(0.01)
        return reply

    def await_lanes(self, vm: str) -> list[dict[str, Any]]:
        """The lane of a VM, once what the redirector says is fresh."""

        def found(reply: Reply) -> list[dict[str, Any]]:
            return [lane for lane in reply.json["lanes"] if lane["vm"] == vm and lane["blocked"]]

        return found(self.await_(f"/api/v1/instances/{INSTANCE}/lanes", lambda reply: bool(found(reply))))

    def await_workers(self, state: str) -> list[dict[str, Any]]:
        """All workers, once one is in a state."""
        path = f"/api/v1/instances/{INSTANCE}/workers"
        shown: list[dict[str, Any]] = self.await_(
            path, lambda reply: state in {one["state"] for one in reply.json}
        ).json
        return shown

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.service.url).netloc, timeout=PATIENCE_S)

    def events(
        self, path: str, headers: dict[str, str] | None = None
    ) -> Generator[tuple[str, str, Any], None, None]:
        """Server-Sent Events as they come: name, id, data."""
        connection = self.connect()
        sent = {"authorization": f"Bearer {READER}", **(headers or {})}
        connection.request("GET", f"/api/v1/instances/{INSTANCE}{path}", headers=sent)
        answer = connection.getresponse()
        assert answer.status == http.client.OK
        event = {"event": "", "id": "", "data": ""}
        try:
            while line := answer.readline().decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if line == "\n" and event["event"]:
                    yield event["event"], event["id"], json.loads(event["data"])
                    event = {"event": "", "id": "", "data": ""}
                elif name in event:
                    event[name] = value
        finally:
            answer.close()
            connection.close()

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Reply:
        connection = self.connect()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Reply(
                answer.status, {key.lower(): value for key, value in answer.headers.items()}, answer.read()
            )
        finally:
            connection.close()


def lane(vm: str) -> Lane:
    return Lane(vm=vm, held=False, blocked="", waiting=0)


def worker() -> Worker:
    return Worker(worker=WORKER, state="up", capacity=2, busy=0, leases=0, silent_s=0.1)


def message(offset: int, *, reads: bool = True, done: str = "") -> QuarantinedRecord:
    """A message in quarantine, that this version reads or not."""
    held = records.LaneHeld(vm=VmId("vm1"))
    body = b"{"
    if reads:
        body = ENVELOPE.dump_json(Envelope(producer="p", seq=1, at=0.0, instance=INSTANCE, record=held))
    return QuarantinedRecord(
        log=INSTANCE,
        offset=offset,
        reason="it did not parse",
        routing_key=routing_key(INSTANCE, held),
        user=user_of(Role.FRONTEND),
        producer="p",
        seq=1,
        at=0.0,
        size=len(body),
        shown=escaped(body),
        exchange=EXCHANGE,
        done=done,
        by="bob" if done else "",
    )
