import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bus.ports import Request
from frontend.arrivals import Opening, Rendezvous, read_opening, record_of
from frontend.migration import LIMITS_OF_SOURCES, TAKES_DESCRIPTOR, for_sources
from frontend.passing import pass_on
from frontend.settings import from_environment
from http_client import connected, post, response, rest_of
from migration_room import COMING, INSTANCE, VM, World, read
from schema import rpc
from schema.ids import InstanceName, TaskId, VmId
from schema.migration import Channel, ChannelOpening
from schema.notices import Accepted, Ended, Rejected
from schema.objects.errors import Cancelled, Error, InternalError
from schema.operations import VmReceiveMemory
from schema.records import ChannelOffered, Submitted

OTHER = InstanceName("j")
HERE = Rendezvous("/run/door", "ticket")
TAKES_IT = f"{TAKES_DESCRIPTOR.decode()}: 1\r\n"


def opening(channel: ChannelOpening, **cookies: str) -> Opening:
    return Opening(INSTANCE, channel, cookies)


def test_a_control_channel_becomes_a_task() -> None:
    cookies = {"final_id": VM, "dbg": "R:1", "memory_limit": "7", "mem_migration": "1", "compress": "zstd"}
    record = record_of(opening(ChannelOpening(Channel.CONTROL, COMING), **cookies), HERE, 5.0)
    assert isinstance(record, Submitted)
    assert record.operation == VmReceiveMemory(
        vm=COMING, final=VM, memory_limit_bytes=7, socket="/run/door", ticket="ticket", compressed=True
    )
    assert (record.vm, record.dbg, record.request_id) == (COMING, "R:1", "ticket")
    assert record.accept_by > 5.0
    assert record.awaited is True


@pytest.mark.parametrize(
    "channel", [ChannelOpening(Channel.CONTROL, VM), ChannelOpening(Channel.CONTROL, VM, old=True)], ids=str
)
def test_an_old_source_sends_memory_on_the_control_channel(channel: ChannelOpening) -> None:
    record = record_of(opening(channel, memory_limit="7"), HERE, 0.0)
    assert isinstance(record, Submitted)
    assert isinstance(record.operation, VmReceiveMemory)
    assert (record.operation.separate_memory, record.operation.final) == (False, VM)


@pytest.mark.parametrize("channel", [Channel.MEMORY, Channel.VGPU])
def test_further_channels_are_offered(channel: Channel) -> None:
    record = record_of(opening(ChannelOpening(channel, COMING), vgpu_migration=""), HERE, 0.0)
    assert record == ChannelOffered(vm=COMING, channel=channel, socket="/run/door", ticket="ticket")


def test_the_channel_of_a_disk_is_offered_with_its_name() -> None:
    record = record_of(opening(ChannelOpening(Channel.DISK, COMING, "scsi0")), HERE, 0.0)
    assert record == ChannelOffered(
        vm=COMING, channel=Channel.DISK, device="scsi0", socket="/run/door", ticket="ticket"
    )


@pytest.mark.parametrize(
    ("channel", "cookies", "words"),
    [
        (ChannelOpening(Channel.VGPU, VM), {}, "no cookie vgpu_migration"),
        (ChannelOpening(Channel.CONTROL, VM), {}, "'' as memory_limit"),
        (ChannelOpening(Channel.CONTROL, VM), {"memory_limit": str(1 << 63)}, "as memory_limit"),
        (ChannelOpening(Channel.CONTROL, VM), {"memory_limit": "9" * 5_000}, "as memory_limit"),
        (ChannelOpening(Channel.CONTROL, VmId("../x")), {}, "cannot name a VM"),
        (ChannelOpening(Channel.MEMORY, VM), {"final_id": "/"}, "cannot name a VM"),
        (ChannelOpening(Channel.DISK, VM, "a b"), {}, "'a b' cannot name a disk"),
    ],
)
def test_what_cannot_be_taken_in_is_refused(
    channel: ChannelOpening, cookies: dict[str, str], words: str
) -> None:
    refusal = record_of(opening(channel, **cookies), HERE, 0.0)
    assert isinstance(refusal, str)
    assert words in refusal


def test_a_path_leads_to_its_instance_and_xapis_to_the_first() -> None:
    headers = (("cookie", "a=1"), ("traceparent", "00-1"))
    for service, instance in (("services/xenops", INSTANCE), ("j", OTHER)):
        found = read_opening(f"/{service}/migrate/mem/{VM}?session_id=1", headers, (INSTANCE, OTHER))
        assert found == Opening(instance, ChannelOpening(Channel.MEMORY, VM), {"a": "1"}, "00-1")
    assert read_opening(f"/unknown/migrate/mem/{VM}", headers, (INSTANCE,)) is None
    assert read_opening(f"/services/xenops/migrate/mem/{VM}", headers, ()) is None
    assert read_opening("/", headers, (INSTANCE,)) is None


def test_hosts_that_nobody_asked_who_they_are_may_do_what_migrations_need() -> None:
    asked: list[bytes] = []

    def answer(_instance: str, request: Request, on_answer: Callable[[bytes], None]) -> None:
        asked.append(request.body)
        on_answer(b"yes")

    ask = for_sources(answer)
    answers: list[bytes] = []
    exists = rpc.encode_request("VM.exists", id=VM, debug_info="d")
    for body in (exists, rpc.encode_request("VM.destroy", id=VM, debug_info="d"), b"{"):
        ask(INSTANCE, Request(body), answers.append)
    assert asked == [exists]
    assert answers[0] == b"yes"
    assert b"VM.destroy is not taken at a door for migrations" in answers[1]
    assert len(answers) == 3


def test_the_places_for_migrations_are_a_setting() -> None:
    told = {"XENOPS_BROKER": "amqp://x/", "XENOPS_INSTANCE": "i", "XENOPS_MIGRATION": "10.0.0.1:80,/run/m"}
    assert [str(address) for address in from_environment(told).doors.migration][1] == "/run/m"


@pytest.fixture(name="world")
def make_world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def test_source_and_worker_hear_each_other_however_much_they_say(world: World) -> None:
    source = world.source()
    source.sendall(b"early")
    submitted = world.wait_for(Submitted)
    assert submitted.operation.socket == str(world.path)
    worker = world.put(f"/rendezvous/{submitted.operation.ticket}")
    assert read(worker, 24) == b"HTTP/1.1 200 OK\r\n\r\nearly"
    much = bytes(range(256)) * 20_000
    speaker = threading.Thread(target=source.sendall, args=(much,))
    speaker.start()
    assert read(worker, len(much)) == much
    speaker.join()
    worker.sendall(b"heard")
    assert read(source, 5) == b"heard"


def test_a_worker_of_this_host_gets_the_connection_itself(world: World) -> None:
    source = world.source()
    ticket = world.wait_for(Submitted).operation.ticket
    worker = world.put(f"/rendezvous/{ticket}", TAKES_IT)
    head, [file], _, _ = socket.recv_fds(worker, 1 << 10, 1)
    with socket.socket(fileno=file) as connection:
        assert head == b"HTTP/1.1 200 OK\r\n\r\n"
        assert worker.recv(1) == b""
        connection.sendall(b"no frontend is between us")
        assert read(source, 25) == b"no frontend is between us"
        source.sendall(b"heard")
        assert read(connection, 5) == b"heard"
    assert source.recv(1) == b""


def test_a_source_that_has_spoken_before_is_carried(world: World) -> None:
    source = socket.socket(socket.AF_UNIX)
    source.connect(str(world.path))
    cookie = f"cookie: final_id={VM}; memory_limit=1"
    with source:
        source.sendall(f"PUT /services/xenops/migrate/vm/{COMING} HTTP/1.1\r\n{cookie}\r\n\r\nearly".encode())
        worker = world.put(f"/rendezvous/{world.wait_for(Submitted).operation.ticket}", TAKES_IT)
        head, files, _, _ = socket.recv_fds(worker, 1 << 10, 1)
        assert (head + read(worker, 24 - len(head)), files) == (b"HTTP/1.1 200 OK\r\n\r\nearly", [])
        source.sendall(b"more")
        assert read(worker, 4) == b"more"


def test_a_worker_of_another_host_has_it_carried() -> None:
    here, there = socket.create_server(("127.0.0.1", 0)), socket.socket()
    with here, there:
        there.connect(here.getsockname())
        assert not pass_on(Transport(there), Transport(there), b"")


def test_what_is_encrypted_is_carried() -> None:
    left, right = socket.socketpair()
    with left, right:
        assert not pass_on(Transport(left, ssl_object="TLS"), Transport(right), b"")


def test_what_is_no_socket_is_carried() -> None:
    assert not pass_on(asyncio.BaseTransport(), asyncio.BaseTransport(), b"")


def test_a_worker_that_has_gone_gets_nothing() -> None:
    left, right = socket.socketpair()
    with left:
        right.close()
        assert not pass_on(Transport(left), Transport(left), b"head")


class Transport(asyncio.BaseTransport):
    """One that knows its socket."""

    def __init__(self, connection: socket.socket, **more: object) -> None:
        super().__init__({"socket": connection, **more})


def test_one_side_may_end_and_still_be_told_something(world: World) -> None:
    source = world.source()
    worker = world.put(f"/rendezvous/{world.wait_for(Submitted).operation.ticket}")
    read(worker, 19)
    source.shutdown(socket.SHUT_WR)
    assert worker.recv(1) == b""
    worker.sendall(b"why")
    worker.close()
    assert read(source, 4) == b"why"


def test_who_hangs_up_ends_it_for_the_other(world: World) -> None:
    source = world.source()
    worker = world.put(f"/rendezvous/{world.wait_for(Submitted).operation.ticket}")
    read(worker, 19)
    worker.close()
    assert read(source, 1) == b""


def test_a_ticket_is_good_once(world: World) -> None:
    world.source()
    ticket = world.wait_for(Submitted).operation.ticket
    assert read(world.put(f"/rendezvous/{ticket}"), 19).startswith(b"HTTP/1.1 200")
    assert read(world.put(f"/rendezvous/{ticket}"), 12) == b"HTTP/1.1 400"


def test_a_source_whose_vm_is_not_accepted_is_told_why(world: World) -> None:
    source = world.source()
    submitted = world.wait_for(Submitted)
    refusal = Rejected(request_id=submitted.request_id, error=InternalError(message="too many"))
    world.tell(refusal, submitted.reply_to)
    words = b'["Internal_error","too many"]'
    assert read(source, 99) == len(words).to_bytes(2, "big") + words


@pytest.mark.parametrize("error", [Cancelled(task="7"), None], ids=str)
def test_a_source_whose_arrival_ended_before_a_worker_came_is_told_at_once(
    world: World, error: Error | None
) -> None:
    source = world.source()
    submitted = world.wait_for(Submitted)
    world.leader.send(submitted.reply_to, Request(b"rubbish"))
    world.tell(Accepted(request_id=submitted.request_id, task=TaskId(7)), submitted.reply_to)
    world.tell(Ended(request_id=submitted.request_id, error=error), submitted.reply_to)
    words = (
        b'["Cancelled","7"]' if error else b'["Internal_error","the arrival has ended before a worker came"]'
    )
    assert read(source, 99) == len(words).to_bytes(2, "big") + words


def test_the_end_of_an_arrival_whose_worker_came_is_its_workers_to_tell(world: World) -> None:
    source = world.source()
    submitted = world.wait_for(Submitted)
    worker = world.put(f"/rendezvous/{submitted.operation.ticket}")
    read(worker, 19)
    world.tell(Ended(request_id=submitted.request_id, error=Cancelled(task="7")), submitted.reply_to)
    other = world.source()
    second = world.wait_for(Submitted, 2)
    world.tell(Ended(request_id=second.request_id, error=None), second.reply_to)
    assert read(other, 2) != b""  # what was told before is read by now
    worker.sendall(b"why")
    assert read(source, 3) == b"why"


def test_a_source_that_says_too_little_is_refused_in_its_own_protocol(world: World) -> None:
    source = world.put(f"/services/xenops/migrate/vm/{COMING}", "cookie: final_id=/\r\n")
    assert b"cannot name a VM" in read(source, 1000)


def test_other_puts_are_no_migrations(world: World) -> None:
    assert read(world.put("/elsewhere", "content-length: 0\r\n"), 12) == b"HTTP/1.1 404"


def test_other_hosts_may_not_send_without_end_and_silent_ones_are_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = replace(LIMITS_OF_SOURCES, bytes_max=100, idle_s=0.05, sweep_s=0.05)
    monkeypatch.setattr("frontend.doors.LIMITS_OF_SOURCES", limits)
    world = World(tmp_path)
    try:
        with connected(world.path) as loud, connected(world.path) as silent:
            loud.sendall(post(b"x" * 101, "/services/xenops"))
            assert response(loud)[0] == 503
            assert rest_of(silent) == b""
        assert world.put("/elsewhere", "content-length: 0\r\n").recv(12) == b"HTTP/1.1 404"
    finally:
        world.close()
