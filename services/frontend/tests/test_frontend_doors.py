"""The doors of a frontend: where they are opened, what is asked there, and what becomes of it."""

import json
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import Request
from bus.process import Settings as BusSettings
from bus.process import SettingsError
from frontend.http.address import AddressError, DoorError, Place, TcpAddress, parse_address
from frontend.routes import is_harmless
from frontend.service import Service
from frontend.settings import Doors, Settings, from_environment
from http_client import PATIENCE_S, ask, connected, post, response
from schema.ids import InstanceName
from schema.objects.errors import DoesNotExist
from schema.rpc import encode_failure, encode_request, encode_result
from schema.wire import xmlrpc

INSTANCE = InstanceName("org.xen.xapi.xenops.simulator")
UNSERVED = InstanceName("org.xen.xapi.xenops.nobody")
CLASSIC = "org.xen.xapi.xenops.classic"

EXISTS = encode_request("VM.exists", debug_info="d", id="x")
MISSING = encode_request("VM.stat", debug_info="d", id="x")
START = encode_request("VM.start", debug_info="d", id="x", paused=True)

XML = '<?xml version="1.0"?>'
AGENT = b"user-agent: xenopsd-simulator\r\n"


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="xs-") as directory:
        yield Path(directory)


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    """A bus on which a worker knows one VM too few, and another frontend serves an instance of its own."""
    bus = MemoryBus(MemoryBroker())

    def serve(queue: str, answer: Callable[[bytes], bytes]) -> None:
        def on_request(request: Request) -> None:
            assert request.reply_to is not None
            bus.send(request.reply_to, Request(answer(request.body), correlation_id=request.correlation_id))

        bus.serve(queue, on_request)

    def work(body: bytes) -> bytes:
        if b"VM.exists" in body:
            return encode_result("VM.exists", value=False)
        return encode_failure(DoesNotExist(klass="VM", id="x/config"))

    serve(f"xenops.control.{INSTANCE}", work)
    serve(CLASSIC, lambda _: b"classic")
    yield bus
    bus.close()


def doors(directory: Path) -> Doors:
    sockets = {INSTANCE: directory / "s", UNSERVED: directory / "u"}
    switch: tuple[Path | TcpAddress, ...] = (directory / "switch", TcpAddress("127.0.0.1", 0))
    return Doors(switch, sockets, directory / "door", directory / "state")


@pytest.fixture
def service(bus: MemoryBus, directory: Path) -> Iterator[Service]:
    service = Service(bus, Settings(BusSettings((INSTANCE, UNSERVED)), doors(directory)))
    service.start()
    yield service
    service.stop()
    assert [path.name for path in directory.rglob("*") if path.is_socket()] == []


@pytest.mark.usefixtures("service")
def test_calls_come_in_json_and_go_out_so(directory: Path) -> None:
    for place, target in (("s/xenopsd", "/"), ("s/xenopsd.json", "/any"), ("door", f"/{INSTANCE}")):
        with connected(directory / place) as connection:
            for _ in range(2):
                connection.sendall(post(EXISTS, target))
                assert response(connection) == (200, b'{"result":false,"error":null,"id":0}')
            connection.sendall(post(b'{"method":"no","params":[{}],"id":1}', target))
            assert response(connection) == (200, b'Idl.UnknownMethod("no")')
            connection.sendall(post(b"junk", target))
            assert response(connection)[1].startswith(b"Yojson.Json_error(")


@pytest.mark.usefixtures("service")
def test_a_call_that_names_its_span_is_handed_on_with_it(bus: MemoryBus, directory: Path) -> None:
    spans: list[str | None] = []

    def on_request(request: Request) -> None:
        spans.append(request.traceparent)
        answer = encode_result("VM.exists", value=False)
        bus.send(request.reply_to or "", Request(answer, correlation_id=request.correlation_id))

    bus.serve(f"xenops.control.{UNSERVED}", on_request)
    span = f"00-{'a' * 32}-{'b' * 16}-01"
    with connected(directory / "u/xenopsd") as connection:
        for name in (span, "nonsense"):
            request = post(EXISTS, "/").replace(b"\r\n\r\n", f"\r\nTraceparent: {name}\r\n\r\n".encode(), 1)
            connection.sendall(request)
            assert response(connection)[0] == 200
    assert spans == [span, None]


@pytest.mark.usefixtures("service")
def test_calls_come_in_xml_and_go_out_so(directory: Path) -> None:
    call = (
        f"{XML}<methodCall><methodName>VM.exists</methodName><params><param><value><struct><member>"
        "<name>debug_info</name><value>d</value></member><member><name>id</name><value>x</value></member></struct>"
        "</value></param></params></methodCall>"
    ).encode()
    expected = (
        f"{XML}<methodResponse><params><param><value><struct><member><name>Status</name><value>Success</value>"
        "</member><member><name>Value</name><value><boolean>0</boolean></value></member></struct></value></param>"
        "</params></methodResponse>"
    ).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n" % (len(expected), AGENT)
    with connected(directory / "s/xenopsd") as connection, connection.makefile("rb") as stream:
        for _ in range(2):
            connection.sendall(post(call, "/"))
            assert stream.read(len(head)) == head
            assert stream.read(len(expected)) == expected


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (xmlrpc.encode_call("VM.stat", [{}]), ["Internal_error", "Expecting dict"]),
        (b"<methodCall>", ["Internal_error", "the request is no XML-RPC call"]),
        (xmlrpc.encode_call("VM.nonesuch", []), ["Internal_error", 'Idl.UnknownMethod("VM.nonesuch")']),
    ],
)
def test_what_is_wrong_in_xml_is_answered_in_xml(directory: Path, call: bytes, error: list[str]) -> None:
    status, body = ask(directory / "s/xenopsd", post(call))
    success, (kind, words) = xmlrpc.decode_response(body)
    assert (status, success, kind) == (200, False, error[0])
    assert error[1] in words


@pytest.mark.usefixtures("service")
def test_an_error_of_the_interface_is_the_same_in_both_languages(directory: Path) -> None:
    expected = ["Does_not_exist", ["VM", "x/config"]]
    assert json.loads(ask(directory / "s/xenopsd", post(MISSING))[1])["error"] == expected
    call = xmlrpc.encode_call("VM.stat", json_params(MISSING))
    assert xmlrpc.decode_response(ask(directory / "s/xenopsd", post(call))[1]) == (False, expected)


def json_params(body: bytes) -> list[object]:
    from schema.wire import json as wire  # noqa: PLC0415  beside the plain one

    params: list[object] = wire.loads(body.decode()).get("params")
    return params


@pytest.mark.usefixtures("service")
def test_what_is_no_call_is_not_found(directory: Path) -> None:
    assert ask(directory / "s/xenopsd", b"GET / HTTP/1.1\r\n\r\n") == (404, b"")
    assert ask(directory / "door", b"GET /x HTTP/1.1\r\n\r\n") == (404, b"")
    assert ask(directory / "s/xenopsd", post(b"x", "/").replace(b"POST", b"PUT")) == (404, b"")


@pytest.mark.usefixtures("service")
def test_an_instance_may_be_quoted_and_an_unknown_one_is_refused(directory: Path) -> None:
    assert ask(directory / "door", post(EXISTS, f"/%6F{INSTANCE[1:]}"))[0] == 200
    status, words = ask(directory / "door", post(EXISTS, "/other"))
    assert status == 404
    assert words == f"no instance 'other' is served here, but: {INSTANCE}, {UNSERVED}".encode()


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("body", "who"), [(EXISTS, b"worker"), (encode_request("UPDATES.last_id", debug_info="d"), b"event hub")]
)
def test_that_nobody_serves_an_instance_is_an_error_of_the_interface(
    directory: Path, body: bytes, who: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontend.returned.AWAY_S", 0.1)
    status, words = ask(directory / "u/xenopsd", post(body))
    assert status == 200
    assert b'["Internal_error","no %b of instance ' % who in words


@pytest.mark.usefixtures("service")
def test_a_task_that_no_redirector_accepts_is_answered_all_the_same(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontend.core.ACCEPT_TIMEOUT_S", 0.2)
    assert b"no redirector of instance" in ask(directory / "s/xenopsd", post(START))[1]


def test_a_bug_behind_a_door_leaves_nobody_waiting(
    bus: MemoryBus, service: Service, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def append(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(bus, "append", append)
    with connected(directory / "switch") as connection:
        log_in(connection)
        connection.sendall(post(START, f"/request/{INSTANCE}/c"))
        assert response(connection)[0] == 200
        assert transferred(connection, "c") == [
            '{"result":null,"error":["Internal_error","RuntimeError: a bug"],"id":0}'
        ]
    assert service._instances[INSTANCE]._asking == {}


def transferred(connection: socket.socket, queue: str) -> list[str]:
    connection.sendall(post(f'{{"timeout": {PATIENCE_S}, "queues": ["{queue}"]}}'.encode(), "/transfer"))
    return [message[1]["payload"] for message in json.loads(response(connection)[1])["messages"]]


def log_in(connection: socket.socket) -> None:
    for target in ("/login/c", "/transient/c"):
        connection.sendall(f"GET {target} HTTP/1.1\r\n\r\n".encode())
        assert response(connection)[0] == 200


@pytest.mark.usefixtures("service")
def test_the_switch_asks_instances_of_ours_and_of_others(directory: Path) -> None:
    with connected(directory / "switch") as connection:
        log_in(connection)
        connection.sendall(f"GET /persistent/{CLASSIC} HTTP/1.1\r\n\r\n".encode())
        assert response(connection)[0] == 200
        for number, (queue, body) in enumerate(((INSTANCE, EXISTS), (CLASSIC, b"anything"))):
            connection.sendall(post(body, f"/request/{queue}/c"))
            assert response(connection)[0] == 200
            (payload, *_) = transferred(connection, "c")
            assert payload == ('{"result":false,"error":null,"id":0}', "classic")[number]
            connection.sendall(f"GET /ack/c/{number} HTTP/1.1\r\n\r\n".encode())
            assert response(connection)[0] == 200


def test_the_switch_is_open_on_a_port_too(service: Service) -> None:
    place, _ = service._doors._places[1]
    host, port = str(place).split(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as connection:
        log_in(connection)


@pytest.mark.usefixtures("service")
def test_sockets_are_their_users_alone(directory: Path) -> None:
    for path in ("switch", "door", "s/xenopsd", "s/xenopsd.json"):
        assert (directory / path).stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("service")
def test_a_living_doors_socket_is_left_alone(bus: MemoryBus, directory: Path) -> None:
    for taken in (
        Doors(door=directory / "door"),
        Doors(switch=(directory / "new", directory / "switch"), state=directory / "other"),
    ):
        with pytest.raises(DoorError, match="another process serves"):
            Service(bus, Settings(BusSettings((INSTANCE,)), taken))
    assert not (directory / "new").exists()
    assert ask(directory / "door", post(EXISTS, f"/{INSTANCE}"))[0] == 200


@pytest.mark.usefixtures("service")
def test_two_frontends_do_not_share_one_switchs_queues(bus: MemoryBus, directory: Path) -> None:
    with pytest.raises(DoorError, match="another frontend keeps its queues"):
        Service(bus, Settings(BusSettings((INSTANCE,)), Doors((directory / "2",), state=directory / "state")))


def test_a_dead_doors_socket_is_replaced_and_a_file_is_not(directory: Path) -> None:
    path = directory / "door"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    place = Place(path)
    place.remove()
    place.socket.close()
    path.write_text("precious")
    place.remove()
    with pytest.raises(DoorError, match="no socket"):
        Place(path)
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long_and_a_port_that_is_taken_are_refused(directory: Path) -> None:
    with pytest.raises(DoorError, match="at most 107 bytes"):
        Place(directory / ("d" * 108))
    place = Place(TcpAddress("::1" if socket.has_dualstack_ipv6() else "127.0.0.1", 0))
    place.socket.listen()
    taken = parse_address(str(place))
    with pytest.raises(DoorError, match="no door can be opened there"):
        Place(taken)
    place.socket.close()
    place.remove()


def test_an_address_is_a_path_or_a_port_of_this_machine() -> None:
    assert parse_address("/run/switch") == Path("/run/switch")
    assert parse_address("127.0.0.1:80") == TcpAddress("127.0.0.1", 80)
    assert parse_address("[::1]:80") == TcpAddress("::1", 80)
    assert parse_address("localhost:80") == TcpAddress("localhost", 80)
    for wrong in ("switch", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536"):
        with pytest.raises(AddressError, match="write /path/of/socket"):
            parse_address(wrong)
    for foreign in ("0.0.0.0:80", "10.1.2.3:80", "example.org:80"):
        with pytest.raises(AddressError, match="only this machine's own interface"):
            parse_address(foreign)


def told(**more: str) -> dict[str, str]:
    return {"XENOPS_BROKER": "amqp://b/", "XENOPS_INSTANCE": "a,b", **more}


def test_a_frontend_without_a_word_of_doors_opens_none() -> None:
    settings = from_environment(told())
    assert settings.doors == Doors()
    assert (settings.broker, settings.instances) == ("amqp://b/", ("a", "b"))


def test_doors_are_opened_where_it_is_said() -> None:
    more = {"XENOPS_SWITCH": "/s, 127.0.0.1:8080", "XENOPS_DOOR": "/d", "XENOPS_STATE_DIR": "/state"}
    found = from_environment(told(**more, XENOPS_SOCKETS="/x,b=/var/lib/xcp")).doors
    sockets = {InstanceName("a"): Path("/x/a"), InstanceName("b"): Path("/var/lib/xcp")}
    assert found == Doors((Path("/s"), TcpAddress("127.0.0.1", 8080)), sockets, Path("/d"), Path("/state"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"XENOPS_SWITCH": "x"}, "XENOPS_SWITCH: 'x'"),
        ({"XENOPS_SOCKETS": "c=/x"}, "XENOPS_SOCKETS names 'c'"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(more: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        from_environment(told(**more))


def test_what_changes_nothing_may_be_asked_twice() -> None:
    assert is_harmless(EXISTS)
    assert is_harmless(b"junk")
    assert not is_harmless(START)
