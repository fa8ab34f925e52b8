"""Pieces that are read before they are asked for."""

import threading
from collections.abc import Iterator

import pytest
from worker_kvm.qemu.ahead import read_ahead

PATIENCE_S = 120.0


class Source:
    """Gives pieces; knows how many were taken from it."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self._pieces, self._error = pieces, error
        self.given = 0
        self.ended = threading.Event()
        self.gave = threading.Condition()

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._pieces:
                with self.gave:
                    self.given += 1
                    self.gave.notify_all()
                yield piece
            if self._error is not None:
                raise self._error
        finally:
            self.ended.set()

    def await_given(self, count: int) -> None:
        """Wait until so many were taken."""
        with self.gave:
            assert self.gave.wait_for(lambda: self.given >= count, PATIENCE_S)


def test_pieces_come_in_their_order_and_to_their_end() -> None:
    pieces = [bytes([number]) for number in range(100)]
    with read_ahead(Source(*pieces), 3) as taken:
        assert list(taken) == pieces


def test_they_are_read_before_anybody_asks_and_no_more_than_may_wait() -> None:
    source = Source(b"a", b"b", b"c", b"d", b"e", b"f")
    with read_ahead(source, 3) as taken:
        source.await_given(4)  # the fourth waits for a place
        assert next(taken) == b"a"
        source.await_given(5)
        assert source.given == 5
        assert list(taken) == [b"b", b"c", b"d", b"e", b"f"]


def test_what_reading_raises_comes_where_the_next_piece_should_be() -> None:
    source = Source(b"a", b"b", error=ValueError("it is damaged"))
    with read_ahead(source, 10) as taken:
        assert source.ended.wait(PATIENCE_S)
        assert [next(taken), next(taken)] == [b"a", b"b"]
        with pytest.raises(ValueError, match="it is damaged"):
            next(taken)


def test_who_leaves_early_leaves_nobody_reading() -> None:
    source = Source(b"a", b"b", b"c")
    with read_ahead(source, 1):
        source.await_given(2)  # the second waits for a place
    assert not any(thread.name == "read-ahead" for thread in threading.enumerate())
    assert source.given == 2
