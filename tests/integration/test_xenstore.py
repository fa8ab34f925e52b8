"""The metadata store on real xenstoreds, C and OCaml: the same as in files, and what happens at their end."""

import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.conformance.samples import sample_vbd, sample_vm
from engine.conformance.stores import Place, StoreConformance, fill
from engine.conformance.subject import refusal
from engine.store import XenstorePlace, link, open_store, xenstored
from engine.store.door import Transaction, XenstoreError
from engine.store.nodes import bucket_of, values_of
from engine.store.port import Store
from engine.store.xenstored import Xenstored
from pyxs import Client  # type: ignore[import-untyped]
from schema.objects.errors import InternalError
from stack.xenstored import PrivateXenstored
from typing_extensions import override

KINDS = ("xenstored", "oxenstored")
ROOT = "/xenops/i"
VMS = 1_000
THREADS = 60


@pytest.fixture(name="directory")
def make_directory() -> Iterator[Path]:
    """A short path: a socket's may have 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="xs-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(name="daemon", params=KINDS)
def run_daemon(request: pytest.FixtureRequest, directory: Path) -> Iterator[PrivateXenstored]:
    with PrivateXenstored(directory, request.param) as daemon:
        yield daemon


@pytest.fixture(name="door")
def open_door(daemon: PrivateXenstored) -> Iterator[Xenstored]:
    door = Xenstored(daemon.socket)
    yield door
    door.close()


class Real(Place):
    """A daemon's tree."""

    def __init__(self, daemon: PrivateXenstored, door: Xenstored) -> None:
        self._daemon = daemon
        self._door = door

    @override
    def open(self) -> Store:
        return open_store(XenstorePlace(self._daemon.socket, ROOT))

    @override
    def damage(self, vm: str, name: str, text: bytes) -> str:
        path = f"{ROOT}/VM/{bucket_of(vm)}/{vm}/{name.replace('.', '-')}"
        value = text if text == b"@1" else values_of(text)[0]
        self._door.within(lambda nodes: nodes.write(path, value))
        return path

    @override
    def everything(self) -> list[str]:
        return sorted(self._below(ROOT))

    def _below(self, path: str) -> Iterator[str]:
        for name in self._door.names(path) or ():
            yield f"{path}/{name}"
            yield from self._below(f"{path}/{name}")


@pytest.fixture(name="place")
def make_place(daemon: PrivateXenstored, door: Xenstored) -> Place:
    return Real(daemon, door)


@pytest.fixture(name="store")
def make_store(place: Place) -> Store:
    return place.open()


class TestXenstored(StoreConformance):
    """On both daemons, by the fixture `place` above."""


def test_only_the_control_domain_may_read_what_is_written(store: Store, daemon: PrivateXenstored) -> None:
    store.write(sample_vm())
    with Client(unix_socket_path=str(daemon.socket)) as client:
        assert client.get_perms(f"{ROOT}/VM/{bucket_of('v1')}/v1/config".encode()) == [b"n0"]


def test_a_daemon_started_anew_is_empty_and_the_store_goes_on(store: Store, daemon: PrivateXenstored) -> None:
    fill(store)
    daemon.kill()
    for call in (store.ids, store.list):
        assert "see that it runs" in _told(call)
    assert "see that it runs" in _told(store.read, "v1")
    assert "see that it runs" in _told(store.write, sample_vm(name="new"))
    daemon.start()
    assert store.ids() == ()
    assert not store.exists("v1")
    fill(store)
    assert len(store.devices("v1").vbds) == 2


def test_a_daemon_started_anew_between_two_requests_is_not_noticed(
    store: Store, daemon: PrivateXenstored
) -> None:
    fill(store)
    daemon.kill()
    daemon.start()
    store.write(sample_vm())
    assert store.read("v1") == sample_vm()


def test_without_a_daemon_a_store_is_refused_with_the_remedy(directory: Path) -> None:
    place = XenstorePlace(directory / "socket", ROOT)
    message = _told(open_store, place)
    assert str(place.socket) in message
    assert "see that it runs" in message


def test_a_daemon_that_hangs_up_on_everybody_is_named(directory: Path) -> None:
    path = directory / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        stranger = threading.Thread(target=lambda: _hang_up(listener))
        stranger.start()
        assert "see that it runs" in _told(open_store, XenstorePlace(path, ROOT))
        stranger.join()


def test_who_speaks_another_protocol_is_named(directory: Path) -> None:
    path = directory / "socket"

    def speak() -> None:
        with listener.accept()[0] as peer:
            peer.recv(100)
            peer.sendall(b"220 mail.example.org ready when you are\r\n")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        stranger = threading.Thread(target=speak)
        stranger.start()
        assert "Cannot read the metadata" in _told(open_store, XenstorePlace(path, ROOT))
        stranger.join()


def test_a_daemon_that_stands_still_holds_nobody_for_ever(
    store: Store, daemon: PrivateXenstored, door: Xenstored, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(sample_vm())
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(link, "ANSWER_TIMEOUT_S", 1.0)
            with pytest.raises(XenstoreError, match="does not answer within 1 s"):
                door.read("/")
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    assert door.read("/") is not None
    assert store.read("v1") == sample_vm()


def test_more_threads_than_connections_are_all_served(store: Store) -> None:
    store.write(sample_vm())
    found: list[str] = []
    readers = [threading.Thread(target=lambda: found.append(store.read("v1").id)) for _ in range(THREADS)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert found == ["v1"] * THREADS


def test_a_transaction_that_fails_leaves_nothing_and_its_connection_serves_on(door: Xenstored) -> None:
    def fail(nodes: Transaction) -> None:
        nodes.write("/a", b"x")
        raise LookupError

    for _ in range(3):
        with pytest.raises(LookupError):
            door.within(fail)
    assert door.read("/a") is None


def test_what_comes_between_makes_a_transaction_begin_again(door: Xenstored) -> None:
    attempts: list[bytes | None] = []

    def change(nodes: Transaction) -> None:
        attempts.append(nodes.read("/a"))
        if len(attempts) == 1:
            door.within(lambda others: others.write("/a", b"other"))
        nodes.write("/b", attempts[-1] or b"none")

    door.within(change)
    assert attempts == [None, b"other"]
    assert door.read("/b") == b"other"


def test_transactions_that_always_conflict_are_given_up_at_last(
    door: Xenstored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xenstored, "CONFLICTS_MAX", 3)

    def change(nodes: Transaction) -> None:
        nodes.read("/a")
        door.within(lambda others: others.write("/a", os.urandom(8).hex().encode()))
        nodes.write("/a", b"mine")

    with pytest.raises(XenstoreError, match="3 times"):
        door.within(change)


def test_what_the_daemon_refuses_is_told_and_its_connection_serves_on(door: Xenstored) -> None:
    with pytest.raises(XenstoreError, match="shorter"):
        door.within(lambda nodes: nodes.write("/" + "a" * 3_000, b"x"))
    with pytest.raises(XenstoreError, match=r"too much for one node|answers what it should not"):
        _fill_a_directory(door)
    assert door.read("/") is not None


def _fill_a_directory(door: Xenstored) -> None:
    def fill_it(nodes: Transaction) -> None:
        for number in range(200):
            nodes.write(f"/many/{number:036}", b"x")

    door.within(fill_it)
    door.names("/many")


def test_a_thousand_vms_are_listed(store: Store, place: Place) -> None:
    for number in range(VMS):
        store.write(sample_vm(f"{number:08}-0000-4000-8000-000000000000"))
        store.vbds.write(sample_vbd(vm=f"{number:08}-0000-4000-8000-000000000000"))
    other = place.open()
    assert len(other.list()) == VMS
    assert other.ids() == store.ids()


def _hang_up(listener: socket.socket) -> None:
    peer, _ = listener.accept()
    peer.close()


def _told(call: object, *arguments: object) -> str:
    assert callable(call)
    error = refusal(call, *arguments)
    assert isinstance(error, InternalError)
    return error.message
