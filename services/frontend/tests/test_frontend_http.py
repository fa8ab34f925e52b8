"""HTTP for every door: requests in, answers in their order, and nothing that comes in stops it."""

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from frontend.http.message import BODY_BYTES_MAX, HEAD_BYTES_MAX, Limits
from http_client import PATIENCE_S, Echo, Served, ask, connected, post, response, rest_of, served


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def door(echo: Echo) -> Iterator[Served]:
    with served(echo, Limits(linger_s=PATIENCE_S, sweep_s=0.05)) as open_door:
        yield open_door


def assert_serves(door: Served) -> None:
    assert ask(door.path, post(b"hello")) == (200, b"hello")


def until(holds: Callable[[], object], door: Served) -> None:
    """Wait until something holds; looked at again whenever the loop has gone round."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        door.on_loop(lambda: None)


def test_a_connection_serves_several_requests(door: Served) -> None:
    with connected(door.path) as connection:
        for body in (b"one", b"", b"three", b"x" * 1_000_000):
            connection.sendall(post(body))
            assert response(connection) == (200, body)


def test_requests_that_come_together_are_answered_in_their_order(door: Served, echo: Echo) -> None:
    bodies = [b"%d" % number for number in range(500)]
    with connected(door.path) as connection:
        connection.sendall(post(b"", "/hold") + b"".join(map(post, bodies)))
        until(lambda: echo.held, door)
        door.on_loop(lambda: echo.held[0].reply(200, b"at last"))
        with connection.makefile("rb") as stream:
            for body in (b"at last", *bodies):
                assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
                assert stream.readline() == b"content-length: %d\r\n" % len(body)
                assert stream.read(2 + len(body)) == b"\r\n" + body


def test_a_request_may_come_byte_by_byte(door: Served) -> None:
    with connected(door.path) as connection:
        for byte in post(b"hello"):
            connection.sendall(bytes([byte]))
        assert response(connection) == (200, b"hello")


def test_an_answer_is_as_short_as_the_originals(door: Served) -> None:
    with connected(door.path) as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\nconnection: close\r\n\r\n")
        expected = b"content-length: 2\r\nuser-agent: echo\r\nconnection: close\r\n\r\n/x"
        assert rest_of(connection) == b"HTTP/1.1 404 Not Found\r\n" + expected


def test_an_old_client_is_served_and_its_connection_is_closed(door: Served) -> None:
    with connected(door.path) as connection:
        connection.sendall(post(b"x").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert rest_of(connection).endswith(b"connection: close\r\n\r\nx")


def test_a_head_is_answered_without_a_body(door: Served) -> None:
    with connected(door.path) as connection:
        connection.sendall(b"HEAD /x HTTP/1.1\r\n\r\n" + post(b"y"))
        assert response(connection, "HEAD") == (404, b"")
        assert response(connection) == (200, b"y")


def test_a_client_that_asks_first_whether_it_may_send_is_told_so(door: Served) -> None:
    with connected(door.path) as connection:
        head, body = post(b"x" * 70_000).split(b"\r\n\r\n")
        connection.sendall(head + b"\r\nexpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert response(connection) == (200, body)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /echo HTTP/1.1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST /echo HTTP/1.1\r\ncontent-length: " + b"9" * 12 + b"\r\n\r\n",
        b"POST /echo HTTP/1.1\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /echo HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1),
        b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\nx",
    ],
)
def test_a_request_without_a_sensible_length_is_refused(door: Served, head: bytes) -> None:
    status, words = ask(door.path, head)
    assert status == 400
    assert b"content-length" in words
    assert_serves(door)


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"\x00\xff\xfe garbage \r\n\r\n", 400),
        (b"POST /echo HTTP/9.9\r\n\r\n", 505),
        (b"PO\r\n", 400),
        (b"HTTP/1.1 200 OK\r\n\r\n", 400),
        (b"POST /\xff\r\n HTTP/1.1\r\n\r\n", 400),
        (b"POST /" + b"i" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"POST /echo HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"POST /echo HTTP/1.1\r\na: " + b"b" * (HEAD_BYTES_MAX + 1) + b"\r\n\r\n", 431),
        (b"POST /echo HTTP/1.1\r\na: " + b"b" * 1_000_000, 431),
        (b"GET /echo HTTP/1.1\r\norigin: https://example.org\r\n\r\n", 403),
    ],
)
def test_garbage_is_refused_and_the_door_goes_on(door: Served, garbage: bytes, status: int) -> None:
    assert ask(door.path, garbage)[0] == status
    assert_serves(door)


def test_garbage_after_a_request_costs_that_request_nothing(door: Served) -> None:
    with connected(door.path) as connection:
        connection.sendall(post(b"one") + b"\xff\xff\r\n\r\n")
        assert response(connection) == (200, b"one")
        assert response(connection)[0] == 400
        assert rest_of(connection) == b""


def test_a_protocol_that_is_not_spoken_is_not_taken_up(door: Served) -> None:
    with connected(door.path) as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\nwhatever")
        assert response(connection) == (404, b"/x")
        assert rest_of(connection) == b""


def test_a_refusal_is_heard_by_one_who_still_sends(door: Served) -> None:
    with connected(door.path) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n")
        for _ in range(20):
            connection.sendall(bytes(1 << 16))
        assert response(connection)[0] == 400


@pytest.mark.parametrize("half", [b"", b"POST /echo HTTP/1.1\r\ncontent-length: 10\r\n\r\nhalf"])
def test_half_a_request_costs_only_its_own_connection(door: Served, half: bytes) -> None:
    with connected(door.path) as connection:
        connection.sendall(half)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert_serves(door)


def test_one_who_has_said_all_is_still_answered(door: Served, echo: Echo) -> None:
    with connected(door.path) as connection:
        connection.sendall(post(b"", "/hold"))
        connection.shutdown(socket.SHUT_WR)
        until(lambda: echo.held, door)
        door.on_loop(lambda: echo.held[0].reply(200, b"at last"))
        assert response(connection) == (200, b"at last")


def test_one_who_has_said_all_is_taken_for_gone_where_clients_wait_for_long(echo: Echo) -> None:
    with served(echo, Limits(answers_after_end=False)) as door, connected(door.path) as connection:
        connection.sendall(post(b"", "/hold"))
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
        until(lambda: echo.closed, door)
        door.on_loop(lambda: echo.held[0].reply(200, b"too late"))


def test_an_answer_that_nobody_waits_for_any_more_goes_nowhere(echo: Echo) -> None:
    with served(echo, Limits(linger_s=0.5, sweep_s=0.05)) as door:
        with connected(door.path) as connection:
            connection.sendall(post(b"", "/hold"))
            until(lambda: echo.held, door)
        until(lambda: echo.closed, door)
        door.on_loop(lambda: echo.held[0].reply(200, b"too late"))
        assert_serves(door)


def test_a_request_that_does_not_come_to_its_end_is_refused(echo: Echo) -> None:
    limits = Limits(request_s=0.05, sweep_s=0.05)
    with served(echo, limits) as door, connected(door.path) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\ncontent-length: 10\r\n\r\nhalf")
        assert response(connection) == (408, b"the request did not come in within 0.05 s")
        assert_serves(door)


def test_a_client_that_is_silent_is_let_go(echo: Echo) -> None:
    with served(echo, Limits(idle_s=0.05, sweep_s=0.05)) as door, connected(door.path) as connection:
        connection.sendall(post(b"x"))
        assert response(connection) == (200, b"x")
        assert rest_of(connection) == b""


def test_a_client_that_never_says_anything_is_let_go(echo: Echo) -> None:
    with served(echo, Limits(idle_s=0.05, sweep_s=0.05)) as door, connected(door.path) as connection:
        assert rest_of(connection) == b""
        until(lambda: not door.server.connections, door)


def test_a_client_that_does_not_wait_for_its_answer_costs_nothing(door: Served) -> None:
    for _ in range(20):
        with connected(door.path) as connection:
            connection.sendall(post(b"x" * 100_000))
    assert_serves(door)


def test_a_client_that_does_not_read_is_not_answered_without_end(door: Served, echo: Echo) -> None:
    request = post(b"x" * 100_000)
    with connected(door.path) as connection:
        connection.settimeout(0.2)
        with suppress(TimeoutError):
            for _ in range(1_000):
                connection.sendall(request)
            pytest.fail("100 MB were taken from one who reads no answer")
        assert_serves(door)
    until(lambda: echo.closed == 2, door)


def test_a_bug_costs_only_its_own_request(door: Served, caplog: pytest.LogCaptureFixture) -> None:
    with connected(door.path) as connection:
        connection.sendall(post(b"x", "/bug") + post(b"y"))
        assert response(connection) == (500, b"Error: Internal Server Error")
        assert response(connection) == (200, b"y")
    assert "met a bug" in caplog.text


def test_many_clients_are_served_at_once(door: Served) -> None:
    with ExitStack() as many:
        clients = [many.enter_context(connected(door.path)) for _ in range(300)]
        for client in clients:
            client.sendall(post(b"x" * 10_000))
        assert [response(client) for client in clients] == [(200, b"x" * 10_000)] * 300


def test_too_many_clients_are_told_so_and_places_become_free_again(echo: Echo) -> None:
    with served(echo, Limits(connections_max=3)) as door:
        with ExitStack() as idle:
            for _ in range(3):
                connection = idle.enter_context(connected(door.path))
                connection.sendall(post(b"here"))
                assert response(connection) == (200, b"here")
            with connected(door.path) as another:
                assert response(another) == (503, b"3 clients are connected already: try again later")
        until(lambda: echo.closed == 3, door)
        assert_serves(door)


def test_too_many_bytes_of_requests_are_not_taken_whoever_sends_them(echo: Echo) -> None:
    with served(echo, Limits(bytes_max=1_000, linger_s=PATIENCE_S)) as door:
        with connected(door.path) as first, connected(door.path) as second:
            first.sendall(post(b"x" * 400, "/hold") + post(b"y" * 400))  # one is at the door, one waits
            until(lambda: door.server.held_bytes == 800, door)
            second.sendall(post(b"z" * 300))
            status, words = response(second)
            assert (status, words[:14]) == (503, b"too many bytes")
            assert ask(door.path, post(b"small")) == (200, b"small")
            door.on_loop(lambda: echo.held[0].reply(200, b"at last"))
            assert response(first) == (200, b"at last")
            assert response(first) == (200, b"y" * 400)
            assert door.server.held_bytes == 0
        assert ask(door.path, post(b"z" * 1_000)) == (200, b"z" * 1_000)


def test_bytes_of_requests_that_came_to_nothing_are_not_held(echo: Echo) -> None:
    half = b"POST /echo HTTP/1.1\r\ncontent-length: 500\r\n\r\n" + b"x" * 400
    with served(echo, Limits(bytes_max=1_000, request_s=0.05, sweep_s=0.05)) as door:
        with connected(door.path) as slow:
            slow.sendall(half)
            assert response(slow)[0] == 408
            assert door.server.held_bytes == 0
        with connected(door.path) as gone:
            gone.sendall(post(b"x" * 400, "/hold") + half)
            until(lambda: door.server.held_bytes == 800, door)
        until(lambda: door.server.held_bytes == 0, door)


def test_bytes_of_a_request_that_outlives_its_connection_are_held_until_it_is_answered(echo: Echo) -> None:
    echo.goes_on = True
    with served(echo, Limits(bytes_max=1_000, linger_s=0.5)) as door:
        with connected(door.path) as gone:
            gone.sendall(post(b"x" * 800, "/hold") + post(b"y" * 100))
            until(lambda: door.server.held_bytes == 900, door)
        until(lambda: echo.closed == 1, door)
        assert door.server.held_bytes == 800
        status, words = ask(door.path, post(b"z" * 300))
        assert (status, words[:14]) == (503, b"too many bytes")
        door.on_loop(lambda: echo.held[0].reply(200, b"to nobody"))
        until(lambda: door.server.held_bytes == 0, door)
        door.on_loop(lambda: echo.held[0].reply(200, b"once more"))
        assert door.server.held_bytes == 0
        assert ask(door.path, post(b"z" * 300)) == (200, b"z" * 300)


@pytest.mark.parametrize("cuts", [(), (10,), (33,), (34,), (35,), (36,), (40,)])
def test_a_stream_takes_over_wherever_its_head_ends(door: Served, cuts: tuple[int, ...]) -> None:
    whole = b"PUT /stream HTTP/1.1\r\ncookie: a=b\r\n\r\nfirst words"
    with connected(door.path) as connection, connection.makefile("rb") as stream:
        places = (0, *cuts, len(whole))
        for start, end in itertools.pairwise(places):
            connection.sendall(whole[start:end])
            door.on_loop(lambda: None)
        assert stream.read(19) == b"HTTP/1.1 200 OK\r\n\r\n"
        assert stream.read(11) == b"FIRST WORDS"
        connection.sendall(b"post /echo http/1.1\r\n\r\n")
        assert stream.read(23) == b"POST /ECHO HTTP/1.1\r\n\r\n"
    assert_serves(door)


def test_a_stream_may_follow_requests_that_are_answered_but_none_that_wait(door: Served, echo: Echo) -> None:
    with connected(door.path) as connection:
        connection.sendall(post(b"x"))
        assert response(connection) == (200, b"x")
        connection.sendall(b"PUT /stream HTTP/1.1\r\ncookie: a=b\r\n\r\nabc")
        assert connection.recv(19) == b"HTTP/1.1 200 OK\r\n\r\n"
        assert connection.recv(3) == b"ABC"
    with connected(door.path) as connection:
        connection.sendall(post(b"x", "/hold") + b"PUT /stream HTTP/1.1\r\ncookie: a=b\r\n\r\nabc")
        until(lambda: echo.held, door)
        door.on_loop(lambda: echo.held[0].reply(200, b""))
        assert response(connection) == (200, b"")
        assert response(connection)[0] == 400


def test_a_put_that_is_no_stream_is_a_request(door: Served) -> None:
    assert ask(door.path, post(b"x").replace(b"POST", b"PUT")) == (200, b"x")
    assert ask(door.path, b"PUT /echo HTTP/1.1\r\n\r\n")[0] == 400
