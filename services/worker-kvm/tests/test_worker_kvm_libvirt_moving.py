"""How two workers on libvirt talk while a VM moves, and what is noticed of a domain's devices."""

import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import refusal
from engine.image import ImageStream, Line
from engine.migrate.channel import Channel
from engine.migrate.sockets import SocketWire
from schema.fault import internal_error
from typing_extensions import override
from virt.xml import Element, node
from worker_kvm.libvirt.migration_protocol import (
    Accepted,
    Performed,
    SendsFile,
    Talk,
    WantsFile,
    talking,
    unexpected,
)
from worker_kvm.libvirt.noticing import open_trays


class OneLine(ImageStream):
    """A stream whose only line is this connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._channel = Channel(SocketWire(connection), "a line")

    @override
    def write(self, data: bytes | memoryview) -> None:
        raise NotImplementedError

    @override
    def read(self, size: int) -> bytes:
        raise NotImplementedError

    @override
    def line(self, name: str) -> Line:
        return self._channel


@pytest.fixture(name="pair")
def make_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_what_is_said_is_heard_in_order_and_what_fails_inside_is_told(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    def source() -> None:
        with talking(OneLine(pair[0]), SuiteExecution()) as talk:
            talk.say(Performed(cookie="ü\0"))
            assert talk.hear() == Accepted(cookie="c")
            raise internal_error("the disk is full")

    def destination() -> None:
        with talking(OneLine(pair[1]), SuiteExecution()) as talk:
            assert talk.hear() == Performed(cookie="ü\0")
            talk.say(Accepted(cookie="c"))
            talk.hear()

    with ThreadPoolExecutor(2) as threads:
        for side in [threads.submit(source), threads.submit(destination)]:
            assert "the disk is full" in str(side.exception())


def test_a_talk_that_a_task_gives_up_ends_as_cancelled(pair: tuple[socket.socket, socket.socket]) -> None:
    task = SuiteExecution()
    with ThreadPoolExecutor(1) as thread:

        def listen() -> None:
            with talking(OneLine(pair[0]), task) as talk:
                talk.say(WantsFile())
                talk.hear()

        listening = thread.submit(listen)
        assert Talk(pair[1]).hear() == WantsFile()
        task.cancel()
        error = listening.exception()
    assert "Cancelled" in str(error)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "the other side has closed it"),
        (b"\xff\xff\xff\xff", "is it xenops on libvirt?"),
        (struct.pack("<I", 2) + b"{}", "makes no sense"),
        (struct.pack("<I", 20) + b"{", "the other side has closed it"),
    ],
    ids=["nothing", "too much", "no word", "half a word"],
)
def test_what_makes_no_sense_is_no_word(
    pair: tuple[socket.socket, socket.socket], said: bytes, words: str
) -> None:
    pair[0].sendall(said)
    pair[0].shutdown(socket.SHUT_WR)
    assert words in str(refusal(Talk(pair[1]).hear))
    assert "'sends file' out of turn" in str(unexpected(SendsFile()).error)


def test_a_drive_is_open_that_has_a_medium_and_its_tray_out() -> None:
    def drive(alias: str, tray: str, *, full: bool) -> Element:
        parts = [node("target", dev="sda", tray=tray), node("alias", name=alias)]
        return node("disk", *parts, *([node("source", file="/cd")] if full else []))

    drives = [drive("a", "open", full=True), drive("b", "open", full=False), drive("c", "closed", full=True)]
    assert open_trays(node("domain", node("devices", *drives))) == {"a"}
