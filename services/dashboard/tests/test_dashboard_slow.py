"""A reader of events that takes nothing: it is let go, told why, and costs nobody anything."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
from dashboard.fold.feed import seen_by
from dashboard.web import server, streams
from page_in_hand import INSTANCE, PATIENCE_S, READER, Page, Reply
from schema import records
from schema.overseen import Acted

LONG = "x" * 20_000
ENTRIES = 1_500
"""Some 30 MB: more than the kernel keeps for one connection."""


@pytest.fixture(name="page", scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("page")) as page:
        page.append(*[Acted(who="alice", action="a", subject=f"{n}{LONG}") for n in range(ENTRIES)])
        yield page


def opened(page: Page) -> socket.socket:
    place = urlsplit(page.service.url)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    reader.settimeout(PATIENCE_S)
    reader.connect((place.hostname, place.port))
    head = f"host: localhost\r\nauthorization: Bearer {READER}"
    reader.sendall(f"GET /api/v1/instances/{INSTANCE}/events?after=-1 HTTP/1.1\r\n{head}\r\n\r\n".encode())
    return reader


def cuts(reply: Reply) -> float:
    """How many were let go since the service began, which may be for whichever tests ran here before."""
    return float(reply.text.partition("\nxenops_sse_cut_total ")[2].partition("\n")[0])


@contextmanager
def cut(page: Page) -> Iterator[socket.socket]:
    """A reader that has been let go."""
    before = cuts(page.ask("GET", "/metrics"))
    with opened(page) as reader:
        page.await_("/metrics", lambda reply: cuts(reply) == before + 1)
        yield reader


def test_it_is_told_why_behind_what_it_had_not_taken_and_goes_on_elsewhere(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STUCK_S", 0.2)
    monkeypatch.setattr(server, "LINGER_S", 0.0)
    with cut(page) as reader:
        assert page.append(records.LaneHeld(vm="vm1"))  # others are served meanwhile
        told = b""
        while part := reader.recv(1 << 20):
            told += part
    assert told.endswith(b"\r\n0\r\n\r\n")  # the answer is whole
    events = told.decode().split("event: ")
    assert events[-1].startswith("end\ndata: ")
    why = json.loads(events[-1].partition("data: ")[2].partition("\n")[0])
    assert "go on from the last id" in why["reason"]
    last = seen_by(events[-2].partition("id: ")[2].partition("\n")[0])
    assert 0 < last.offset < ENTRIES


def test_when_too_many_follow_the_next_is_told_so_until_one_leaves(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STREAMS_MAX", 1)
    with opened(page) as reader:
        assert reader.recv(15) == b"HTTP/1.1 200 OK"
        refused = page.get("/events")
        assert (refused.status, refused.json["detail"]) == (
            HTTPStatus.SERVICE_UNAVAILABLE,
            "1 streams are open: try again later",
        )
        assert page.get("/news").status == HTTPStatus.SERVICE_UNAVAILABLE
    page.await_("/metrics", lambda reply: "xenops_sse_streams 0.0" in reply.text)
    with opened(page) as reader:
        assert reader.recv(15) == b"HTTP/1.1 200 OK"


def test_one_that_never_reads_again_is_ended(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STUCK_S", 0.2)
    monkeypatch.setattr(server, "LINGER_S", 0.0)
    monkeypatch.setattr(server, "SILENCE_S", 0.2)
    with cut(page) as reader:
        deadline = time.monotonic() + PATIENCE_S
        while page.service._server._state.connections:  # what waits for it is dropped with its connection
            assert time.monotonic() < deadline
        assert reader.fileno() > 0
