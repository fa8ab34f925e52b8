from typing import Any

import pytest
from bus import versioned
from bus.snapshots import SnapshotError


class OddError(Exception):
    pass


def together(first: Any, others: list[Any]) -> list[Any]:
    return [first["a"], *(other["b"] for other in others)]


def odd(first: Any, others: list[Any]) -> list[Any]:
    raise OddError(f"{first} {others}")


def test_lines_come_back_as_they_were_written() -> None:
    lines = [versioned.line(version=3, a=1), versioned.line(b=2), versioned.line(b=[3])]
    assert versioned.read(lines, 3, together) == [1, 2, [3]]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([b'{"version":2,"a":1}'], "version 2; this one reads 3"),
        ([], "does not parse"),
        ([b"[]"], "does not parse"),
        ([b'{"a":1}'], "does not parse"),
        ([b'{"version":3}'], "does not parse"),
        ([b'{"version":3,"a":1}', b"\xff"], "does not parse"),
    ],
)
def test_what_another_version_wrote_or_nobody_is_refused(lines: list[bytes], words: str) -> None:
    with pytest.raises(SnapshotError, match=words):
        versioned.read(lines, 3, together)


def test_what_its_reader_refuses_is_refused() -> None:
    with pytest.raises(SnapshotError, match="OddError"):
        versioned.read([versioned.line(version=3)], 3, odd, OddError)
