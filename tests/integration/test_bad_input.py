"""Whatever is sent to a door: an answer in words, no service that dies, no other client's request lost."""

from __future__ import annotations

import json
import random
import time
import uuid
from typing import TYPE_CHECKING, Any

import pika
import pytest
from bus.topology import control_queue, events_queue, log_stream, routing_word
from bus.users import ADMINISTRATOR
from engine.conformance.samples import sample_vm
from schema.fault import XenopsError
from schema.ids import InstanceName, TaskId, Term, VmId, WorkerName
from schema.methods import METHODS
from schema.records import ENVELOPE, Envelope, Leased
from schema.rpc import decode_response, encode_request
from xenops.client import Client
from xenops.events import wait_for_task

if TYPE_CHECKING:
    from conftest import Foreign, Stack

pytestmark = pytest.mark.usefixtures("client")

INSTANCE = InstanceName("org.xen.xapi.xenops.simulator")
PATIENCE_S = 120.0


def call(method: str, /, **params: Any) -> bytes:
    return json.dumps({"method": method, "params": [{"debug_info": "d", **params}], "id": 1}).encode()


def internal(sentence: str) -> str:
    return json.dumps({"result": None, "error": ["Internal_error", sentence], "id": 0}, separators=(",", ":"))


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"[]", 'Jsonrpc.Malformed_method_request("Invalid request body")'),
        (b"", 'Yojson.Json_error("Blank input data")'),
        (b"   \n", 'Yojson.Json_error("Blank input data")'),
        (b"{}", 'Jsonrpc.Malformed_method_request("Required field method is missing")'),
        (b'{"method":1}', "Jsonrpc.Malformed_method_request(\"Invalid field 'method' in request body\")"),
        (b'{"method":"VM.list"}', 'Jsonrpc.Malformed_method_request("Required field params is missing")'),
        (
            b'{"method":"VM.list","params":[]}',
            "Jsonrpc.Malformed_method_request(\"Invalid field 'id' in request body\")",
        ),
        (b'{"method":"No.such","params":[],"id":1}', 'Idl.UnknownMethod("No.such")'),
        (b'{"method":"VM.Start","params":[{}],"id":1}', 'Idl.UnknownMethod("VM.Start")'),
    ],
)
def test_what_is_no_request_is_answered_in_the_originals_words(
    foreign: Foreign, body: bytes, answer: str
) -> None:
    assert foreign.ask(body) == answer


@pytest.mark.parametrize(
    "body",
    [
        b"VM.list",
        b"{",
        b'{"a":',
        b'"',
        b"\xff\xfe\0\1",
        b"<methodCall/>",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 100,
    ],
)
def test_what_is_no_json_is_answered_with_the_readers_words(foreign: Foreign, body: bytes) -> None:
    assert foreign.ask(body).startswith("Yojson.Json_error(")


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"method":"VM.list","id":1,"params":['])
def test_nesting_without_end_is_refused(foreign: Foreign, opening: bytes) -> None:
    assert "nested deeper than" in foreign.ask(opening * 100_000)


def test_a_huge_body_is_refused_with_the_limit_and_one_below_it_is_served(foreign: Foreign) -> None:
    assert "at most 16777216 are taken" in foreign.ask(call("VM.exists", id="x" * (16 << 20)))
    assert foreign.ask(call("VM.exists", id="x" * (15 << 20))) == '{"result":false,"error":null,"id":0}'


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            b'{"method":"VM.exists","params":["d","x"],"id":1}',
            "Marshalling error: Expecting dict as first argument when named parameters exist",
        ),
        (b'{"method":"VM.exists","params":[{"debug_info":"d"}],"id":1}', "Expecting named argument 'id'"),
        (b'{"method":"VM.exists","params":[{"ID":"x"}],"id":1}', "Expecting named argument 'debug_info'"),
        (call("VM.exists", id=7), "Expected string, got 'I(7)'"),
        (call("VM.start", id="x", paused="yes"), "Expected bool, got 'S(yes)'"),
        (call("VM.shutdown", id="x", delay=[]), "Expected float, got '[]'"),
        (call("VM.list", unit={}), "Expected unit, got '{}'"),
    ],
)
def test_wrong_and_missing_parameters_are_the_originals_marshal_errors(
    foreign: Foreign, body: bytes, sentence: str
) -> None:
    assert foreign.ask(body) == internal(f'Idl.MarshalError("{sentence}")')


def test_letters_that_are_no_letters_come_back_as_they_were(foreign: Foreign) -> None:
    body = b'{"method":"VM.stat","params":[{"debug_info":"\xff","id":"\xfe\xed"}],"id":1}'
    foreign.send(body)
    assert list(foreign.answers(1).values()) == [
        b'{"result":null,"error":["Does_not_exist",["VM","\xfe\xed/config"]],"id":0}'
    ]


def test_a_vm_whose_name_is_no_text_lives_as_any_other(foreign: Foreign, client: Client) -> None:
    vm = f"vm-{uuid.uuid4()}"
    named = encode_request("VM.add", debug_info="d", vm=sample_vm(vm)).replace(b"a vm", b"a \xffvm")
    assert json.loads(foreign.ask(named))["result"] == vm
    for task in (client.vm.start(vm), client.vm.unpause(vm), client.vm.shutdown(vm, None)):
        wait_for_task(client, task, PATIENCE_S)
    assert client.vm.stat(vm)[0].name == "a \udcffvm"
    client.vm.remove(vm)


def test_what_no_record_can_hold_is_refused_at_once(foreign: Foreign) -> None:
    body = b'{"method":"VM.start","params":[{"debug_info":"\xff","id":"x","paused":true}],"id":1}'
    assert "bytes that are not UTF-8" in foreign.ask(body)


@pytest.mark.parametrize("text", [rb"\u0000", rb"\ud83d\ude00", "日本".encode()])
def test_any_letters_may_name_the_clients_work(foreign: Foreign, text: bytes) -> None:
    body = b'{"method":"VM.start","params":[{"debug_info":"%s","id":"x","paused":true}],"id":1}' % text
    task = json.loads(foreign.ask(body))["result"]
    assert json.loads(foreign.ask(call("Task.destroy", id=task)))["error"] is None


def test_who_wants_no_answer_gets_none_and_who_cannot_be_reached_disturbs_nobody(foreign: Foreign) -> None:
    dead = str(foreign.channel.queue_declare("", exclusive=True).method.queue)
    foreign.channel.queue_delete(dead)
    for name in METHODS:
        if not name.startswith(("DEBUG.shutdown", "HOST.set_worker_pool_size")):
            foreign.send(foreign.sample(name), reply_to=None)
            foreign.send(foreign.sample(name), reply_to=dead)
            foreign.send(foreign.sample(name), reply_to="amq.rabbitmq.reply-to.g1h2AA")
            foreign.send(foreign.sample(name), reply_to=b"\xff\xfe")
    assert json.loads(foreign.ask(call("VM.exists", id="x")))["result"] is False


def test_one_who_cannot_be_reached_takes_nobody_along_who_waits_for_the_same_news(
    foreign: Foreign, client: Client
) -> None:
    token = client.updates.last_id()
    body = call("UPDATES.get", last_id=token, timeout=int(PATIENCE_S))
    for reply_to in (b"\xff\xfe", "nobody", "amq.rabbitmq.reply-to.g1h2AA"):
        foreign.send(body, reply_to=reply_to)
    assert json.loads(foreign.ask(body))["result"][2] > token


def test_a_correlation_id_comes_back_whatever_it_is(foreign: Foreign) -> None:
    chosen = ["", "x" * 255, "日本", b"\xff\xfe"]
    for correlation_id in chosen:
        foreign.send(call("VM.exists", id="x"), correlation_id=correlation_id)
        assert list(foreign.answers(1)) == [correlation_id]
    foreign.send(call("VM.start", id="x", paused=True), correlation_id=b"\xff\xfe")
    assert list(foreign.answers(1)) == [b"\xff\xfe"]


def test_equal_messages_are_equal_requests_each_with_its_answer(foreign: Foreign) -> None:
    body = call("VM.start", id="x", paused=True)
    for _ in range(50):
        foreign.channel.basic_publish(
            "", INSTANCE, body, pika.BasicProperties(reply_to=foreign.queue, message_id="1")
        )
    found = [
        json.loads(reply)["result"]
        for _, (_, _, reply) in zip(
            range(50), foreign.channel.consume(foreign.queue, auto_ack=True), strict=False
        )
    ]
    assert len(set(found)) == 50


def test_other_queues_take_rubbish_as_calmly(foreign: Foreign, stack: Stack) -> None:
    inboxes = [
        line.split()[0]
        for line in stack.node.ctl("-q", "list_queues", "name").splitlines()
        if line.startswith("xenops.inbox.")
    ]
    assert inboxes
    for queue in (control_queue(INSTANCE), events_queue(INSTANCE), *inboxes):
        for body in (b"", b"\xff", b"[" * 100_000, b'{"method":"VM.start","params":[{}],"id":1}'):
            foreign.send(body, queue, reply_to=None)
    for queue in (control_queue(INSTANCE), events_queue(INSTANCE)):
        assert foreign.ask(b'{"method":"x","params":[{}],"id":1}', queue) == 'Idl.UnknownMethod("x")'
        assert "VM.start" in foreign.ask(foreign.sample("VM.start"), queue)


def test_an_answer_that_is_to_go_to_a_services_own_queue_ends_there(foreign: Foreign, client: Client) -> None:
    before = client.quarantine.list().total
    own = (INSTANCE, control_queue(INSTANCE), events_queue(INSTANCE), log_stream(INSTANCE))
    for queue in own[:3]:
        for reply_to in own:
            foreign.send(call("VM.list"), queue, reply_to=reply_to)
            foreign.send(b"[", queue, reply_to=reply_to)
    wait_for_quarantine(client, before + 6)  # what went to the log, once each: no answer is answered
    assert json.loads(foreign.ask(call("VM.exists", id="x")))["result"] is False
    assert client.quarantine.list().total == before + 6


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": 7},
        {"traceparent": {"a": [1, {"b": None}]}},
        {"traceparent": "00-" + "f" * 4_000},
        {"traceparent": b"\xff", "x-death": "none", "CC": ["nowhere"]},
        {"x-stream-offset": "first", "": ""},
    ],
)
def test_headers_of_any_type_are_taken_or_left(foreign: Foreign, headers: dict[str, Any]) -> None:
    for queue in (INSTANCE, control_queue(INSTANCE), events_queue(INSTANCE)):
        foreign.ask(foreign.sample("VM.list"), queue, headers=headers)
    foreign.channel.basic_publish("", log_stream(INSTANCE), b"{}", pika.BasicProperties(headers=headers))
    assert json.loads(foreign.ask(call("VM.exists", id="x"), headers=headers))["result"] is False


def test_rubbish_in_the_log_is_passed_over(foreign: Foreign) -> None:
    key = f"{INSTANCE.replace('.', '%2E')}.x.y"
    for body in (b"", b"\xff", b"{}", b'{"producer":"x","seq":1}', b"[" * 100_000):
        foreign.channel.basic_publish("xenops", key, body)
    assert json.loads(foreign.ask(call("VM.exists", id="x")))["result"] is False


def test_a_forged_record_is_in_quarantine_and_its_writers_numbers_are_not_anothers(
    foreign: Foreign, client: Client
) -> None:
    leased = Leased(vm=VmId("x"), task=TaskId(0), worker=WorkerName("w"), term=Term(0))
    body = ENVELOPE.dump_json(Envelope(producer="mallory", seq=1, at=0.0, instance=INSTANCE, record=leased))
    before = client.quarantine.list().total
    word = routing_word(INSTANCE)
    foreign.channel.basic_publish(
        "xenops", f"{word}.x.Started", body, pika.BasicProperties(user_id=ADMINISTRATOR)
    )
    foreign.channel.basic_publish("", log_stream(INSTANCE), body)
    foreign.ask(call("VM.start", id="x", paused=True))  # a record behind them has been read
    wait_for_quarantine(client, before + 2)
    last, first = client.quarantine.list().records[:2]
    assert (first.user, first.producer, first.routing_key) == (ADMINISTRATOR, "mallory", f"{word}.x.Started")
    assert (last.user, last.producer, last.routing_key) == ("", "mallory", log_stream(INSTANCE))
    assert first.reason.startswith("forged: a Leased ")


def wait_for_quarantine(client: Client, total: int) -> None:
    """Until the event hub has read so far; other messages may be in quarantine, too."""
    end = time.monotonic() + PATIENCE_S
    while client.quarantine.list().total < total:
        assert time.monotonic() < end, client.quarantine.list()


def mutated(random_: random.Random, value: Any) -> Any:
    """JSON that differs in one place."""
    odd: list[Any] = [
        None,
        True,
        -1,
        2**62,
        2**70,
        1e308,
        "",
        "x" * 300,
        "\0",
        "../..",
        [],
        {},
        [[]],
        {"id": {}},
    ]
    if not isinstance(value, list | dict) or not value or random_.random() < 0.2:
        return random_.choice(odd)
    copied = dict(value) if isinstance(value, dict) else dict(enumerate(value))
    place = random_.choice(list(copied))
    match random_.randrange(4):
        case 0:
            del copied[place]
        case 1 if isinstance(value, dict):
            copied[str(place).upper()] = copied.pop(place)
        case _:
            copied[place] = mutated(random_, copied[place])
    return copied if isinstance(value, dict) else list(copied.values())


def damaged(random_: random.Random, body: bytes) -> bytes:
    """A request with its value or its bytes changed."""
    if random_.random() < 0.8:
        return json.dumps(mutated(random_, json.loads(body))).encode()
    place = random_.randrange(len(body))
    return body[:place] + random_.randbytes(random_.randrange(3)) + body[place + random_.randrange(4) :]


@pytest.mark.parametrize("seed", range(5))
def test_any_damaged_request_is_answered_once(foreign: Foreign, client: Client, seed: int) -> None:
    random_ = random.Random(seed)
    names = [name for name in METHODS if name != "HOST.set_worker_pool_size"]
    requests = [damaged(random_, foreign.sample(random_.choice(names))) for _ in range(1_000)]
    sent = [foreign.send(body) for body in requests]
    assert set(foreign.answers(len(sent))) == set(sent)
    for task in client.task.list():
        if task.dbg != "healthy":
            client.task.cancel(task.id)
            client.task.destroy(task.id)


def test_what_a_client_is_told_is_of_the_methods_type(foreign: Foreign) -> None:
    for name in METHODS:
        if name not in ("UPDATES.get", "HOST.set_worker_pool_size"):
            answer = foreign.ask(foreign.sample(name)).encode("utf-8", "surrogateescape")
            try:
                decode_response(name, answer)
            except XenopsError as error:
                assert str(error)  # noqa: PT017  either is an answer


def test_nothing_is_left_in_any_queue(stack: Stack, client: Client) -> None:
    client.vm.list()
    lines = stack.node.ctl("-q", "list_queues", "name", "messages").splitlines()
    left = {
        name: count
        for name, count in (line.split() for line in lines)
        if count.isdecimal() and int(count) and not name.startswith(("xenops.log.", "xenops.snapshot."))
    }
    assert left == {}
