"""TLS between services, clients and the broker: who is let in, and what those who are not are told."""

import contextlib
import datetime as dt
import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BusUnavailableError, Request
from bus.process import SettingsError
from bus.rabbit import RabbitBus
from certificates import Files, issue
from frontend.http.tls import VARIABLES
from frontend.service import Service
from frontend.settings import from_environment
from stack.broker.node import NodeTls, PrivateNode

PATIENCE_S = 120.0
SHORT_S = 1.0
HOST = "127.0.0.1"


@pytest.fixture(name="files", scope="module")
def make_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return issue(tmp_path_factory.mktemp("tls") / "good", HOST)


@pytest.fixture(name="node", scope="module")
def run_node(tmp_path_factory: pytest.TempPathFactory, files: Files) -> Iterator[PrivateNode]:
    tls = NodeTls(files.authority, files.certificate, files.key, asks_clients=True)
    with PrivateNode(tmp_path_factory.mktemp("broker"), tls=tls) as node:
        yield node


def assert_refused(url: str, words: str) -> None:
    """Whoever connects there is told so, once it has been tried."""
    bus = RabbitBus(url, "test")
    end = time.monotonic() + PATIENCE_S
    said = ""
    try:
        while words not in said:
            assert time.monotonic() < end, said
            with pytest.raises(BusUnavailableError) as refused:
                bus.ready(SHORT_S)
            said = str(refused.value)
    finally:
        bus.close()


def test_who_trusts_and_is_trusted_is_let_in(node: PrivateNode, files: Files) -> None:
    url = f"{node.url}?cacertfile={files.authority}&certfile={files.certificate}&keyfile={files.key}"
    bus = RabbitBus(url, "test")
    try:
        bus.ready(PATIENCE_S)
        bus.serve("q", lambda request: bus.send(request.reply_to or "", answer_to(request)))
        bus.ready(PATIENCE_S)
        assert bus.call("q", b"x" * 1_000_000, PATIENCE_S) == b"x" * 1_000_000
    finally:
        bus.close()


def answer_to(request: Request) -> Request:
    return Request(request.body, correlation_id=request.correlation_id)


def test_a_broker_of_an_unknown_authority_is_not_spoken_with(
    node: PrivateNode, files: Files, tmp_path: Path
) -> None:
    other = issue(tmp_path / "other", HOST)
    url = f"{node.url}?cacertfile={other.authority}&certfile={files.certificate}&keyfile={files.key}"
    assert_refused(url, "its certificate is not accepted")
    assert_refused(node.url, "its certificate is not accepted")


def test_a_broker_of_another_name_is_not_spoken_with(node: PrivateNode, files: Files) -> None:
    url = f"{node.url}?cacertfile={files.authority}&server_name_indication=broker.example"
    assert_refused(url, "hostname mismatch")


def test_who_has_no_certificate_is_not_let_in(node: PrivateNode, files: Files) -> None:
    assert_refused(f"{node.url}?cacertfile={files.authority}", "no broker at")


def test_who_speaks_plainly_at_a_tls_port_is_told_that_nobody_answers(node: PrivateNode) -> None:
    assert_refused(node.url.replace("amqps://", "amqp://"), "no broker at")


def test_an_expired_certificate_is_named(tmp_path: Path) -> None:
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    old = issue(tmp_path / "old", HOST, until=past)
    tls = NodeTls(old.authority, old.certificate, old.key)
    with PrivateNode(tmp_path / "broker", tls=tls) as node:
        assert_refused(f"{node.url}?cacertfile={old.authority}", "certificate has expired")


def test_tls_at_a_plain_port_is_named(tmp_path: Path, files: Files) -> None:
    with PrivateNode(tmp_path / "broker") as node:
        url = node.url.replace("amqp://", "amqps://") + f"?cacertfile={files.authority}"
        assert_refused(url, "it does not speak TLS at this port")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("cacertfile=/no/such.pem", "/no/such.pem (cacertfile"),
        ("certfile=/no/such.pem", "/no/such.pem (certfile"),
        ("certfile=/no/such.pem&keyfile=/no/key.pem", "/no/such.pem and /no/key.pem"),
        ("verify=perhaps", "verify_peer or verify_none"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_at_once(query: str, words: str) -> None:
    with pytest.raises(BusUnavailableError, match="URL") as refused:
        RabbitBus(f"amqps://u:secret@localhost/?{query}", "test")
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.fixture(name="door", scope="module")
def open_door(files: Files) -> Iterator[tuple[str, int]]:
    with opened(files) as door:
        yield door


@contextlib.contextmanager
def opened(files: Files) -> Iterator[tuple[str, int]]:
    """A frontend's message switch on a port, by TLS."""
    told = {
        "XENOPS_BROKER": "memory",
        "XENOPS_INSTANCE": "an.instance",
        "XENOPS_SWITCH": f"tls:{HOST}:0",
        "XENOPS_TLS_CERTIFICATE": str(files.certificate),
        "XENOPS_TLS_KEY": str(files.key),
        "XENOPS_TLS_CLIENT_CA": str(files.authority),
    }
    bus = MemoryBus(MemoryBroker())
    service = Service(bus, from_environment(told))
    service.start()
    [(place, _)] = service._doors._places
    yield place.socket.getsockname()[:2]
    service.stop()
    bus.close()


def trusting(files: Files, *, shows: Files | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.authority)
    if shows is not None:
        context.load_cert_chain(shows.certificate, shows.key)
    return context


def asked(door: tuple[str, int], context: ssl.SSLContext) -> int:
    """The status of an answer by that door."""
    connection = http.client.HTTPSConnection(*door, timeout=PATIENCE_S, context=context)
    try:
        connection.request("GET", "/nothing")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_door_answers_who_shows_a_certificate_of_its_authority(door: tuple[str, int], files: Files) -> None:
    assert asked(door, trusting(files, shows=files)) == 404


def test_a_door_lets_nobody_else_in_and_goes_on(door: tuple[str, int], files: Files, tmp_path: Path) -> None:
    stranger = issue(tmp_path / "stranger", HOST)
    for shows in (None, stranger):
        with pytest.raises(OSError):  # noqa: PT011  by an alert, or by the end of the connection
            asked(door, trusting(files, shows=shows))
    with socket.create_connection(door, PATIENCE_S) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert not plain.recv(100).startswith(b"HTTP")
    assert asked(door, trusting(files, shows=files)) == 404


def test_who_was_let_in_parts_with_the_frontend(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    with opened(files) as door:
        plain = socket.create_connection(door, PATIENCE_S)
        connection = trusting(files, shows=files).wrap_socket(plain, server_hostname=HOST)
        connection.sendall(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 404")
    with connection:
        assert is_over(connection)
    assert "Traceback" not in caplog.text


def is_over(connection: socket.socket) -> bool:
    """Whether the other side has ended it; it is waited for."""
    try:
        while connection.recv(100):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def test_a_client_knows_its_door(door: tuple[str, int], files: Files, tmp_path: Path) -> None:
    other = issue(tmp_path / "other", HOST)
    with pytest.raises(ssl.SSLCertVerificationError):
        asked(door, trusting(other, shows=files))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "XENOPS_TLS_CERTIFICATE is not set"),
        (dict.fromkeys(VARIABLES, "/no/such.pem"), "/no/such.pem are of no use"),
        ({"XENOPS_SWITCH": "", "XENOPS_MIGRATION": "tls:0.0.0.0:1"}, "name an address for them, too"),
        ({"XENOPS_SWITCH": "", "XENOPS_MIGRATION": "/m,tls:0.0.0.0:1"}, "XENOPS_TLS_CERTIFICATE is not set"),
    ],
)
def test_a_door_whose_tls_makes_no_sense_is_not_opened(more: dict[str, str], words: str) -> None:
    told = {"XENOPS_BROKER": "b", "XENOPS_INSTANCE": "i", "XENOPS_SWITCH": "tls:0.0.0.0:8443", **more}
    with pytest.raises(SettingsError, match=re.escape(words)):
        from_environment(told)
