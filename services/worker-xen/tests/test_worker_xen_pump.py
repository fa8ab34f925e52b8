"""What is carried between a library and an image, and who tells when it breaks off."""

import os

import pytest
from worker_xen.pump import pumped, write_all


def test_all_is_carried_before_it_is_over() -> None:
    found = bytearray()

    def carry(source: int) -> None:
        while piece := os.read(source, 7):
            found.extend(piece)

    with pumped(carry, to_library=False) as file:
        write_all(file, b"memory" * 1000)
    assert bytes(found) == b"memory" * 1000


def test_what_the_other_side_meets_is_told_rather_than_the_library_s_broken_pipe() -> None:
    def carry(_: int) -> None:
        raise ValueError("the other host is gone")

    def save(file: int) -> None:
        while True:
            os.write(file, b"memory" * 10_000)

    with pytest.raises(ValueError, match="the other host is gone"), pumped(carry, to_library=False) as file:
        save(file)


def test_what_the_library_says_is_told_when_it_takes_no_more() -> None:
    def carry(target: int) -> None:
        while True:
            write_all(target, b"memory" * 10_000)

    with pytest.raises(LookupError, match="a bad page"), pumped(carry, to_library=True):
        raise LookupError("a bad page")


def test_an_image_that_ends_is_told_though_the_library_is_content() -> None:
    def carry(_: int) -> None:
        raise ValueError("End_of_file")

    with pytest.raises(ValueError, match="End_of_file"), pumped(carry, to_library=True):
        pass
