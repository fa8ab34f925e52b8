import json
import random
from itertools import chain

import pytest
from bus.place import anchor_of
from bus.snapshots import PIECE_BYTES, Assembly, Header, SnapshotError, cut, opened, packed, unpacked

HEADER = Header(service="s", at=1.0, next=7, anchor="a", producers={"p": 3})


def lines(count: int) -> list[bytes]:
    chance = random.Random(count)
    return [b"[%d]" % chance.getrandbits(8000) for _ in range(count)]


def whole(pieces: list[bytes]) -> list[bytes]:
    assembly = Assembly()
    return [found for piece in pieces if (found := assembly.add(piece)) is not None]


@pytest.mark.parametrize("count", [0, 1, 800])
def test_a_snapshot_comes_back_as_it_was_in_pieces_of_a_bounded_size(count: int) -> None:
    pieces = list(cut("x", HEADER, lines(count)))
    assert all(len(piece) <= PIECE_BYTES + 200 for piece in pieces)
    assert (len(pieces) > 2) is (count > 100)
    (found,) = whole(pieces)
    header, rest = opened(found)
    assert header == HEADER
    assert header.place.next == 7
    assert list(rest) == lines(count)


def test_pieces_of_two_snapshots_may_be_mixed() -> None:
    first, second = (list(cut(name, HEADER, lines(500))) for name in ("a", "b"))
    mixed = list(chain.from_iterable(zip(first, second, strict=True)))
    assert len(whole(mixed)) == 2


def test_a_snapshot_that_lacks_any_piece_is_none() -> None:
    pieces = list(cut("x", HEADER, lines(500)))
    for missing in range(len(pieces)):
        assert whole(pieces[:missing] + pieces[missing + 1 :]) == []


def test_a_damaged_snapshot_is_none_and_what_is_no_piece_is_ignored() -> None:
    (piece,) = cut("x", HEADER, lines(1))
    assert whole([piece[:-1] + b"?", b"", b"rubbish", b"{}\nx"]) == []
    assert len(whole([b"rubbish", piece])) == 1


def test_another_format_is_refused_in_words() -> None:
    other = json.loads(HEADER.model_dump_json()) | {"format": 2}
    header = Header.model_construct(**other)
    (found,) = whole(list(cut("x", header, [])))
    with pytest.raises(SnapshotError, match="another version made it"):
        opened(found)
    with pytest.raises(SnapshotError, match="another version made it"):
        opened(b"this is not compressed")


def test_what_is_too_large_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.snapshots.SNAPSHOT_BYTES_MAX", 1_000)
    with pytest.raises(SnapshotError, match="more than 1000 bytes"):
        list(cut("x", HEADER, lines(500)))


def test_bytes_of_any_kind_become_lines_and_back() -> None:
    content = random.Random(1).randbytes(200_000)
    packed_lines = list(packed(content))
    assert len(packed_lines) > 1
    assert unpacked(packed_lines) == content
    with pytest.raises(SnapshotError, match="does not parse"):
        unpacked([b"?"])


def test_an_anchor_tells_records_and_marks_apart() -> None:
    told = {anchor_of(b"a", None), anchor_of(b"b", None), anchor_of(b"", "mark"), anchor_of(b"", None)}
    assert len(told) == 4
    assert anchor_of(b"a", None) == anchor_of(b"a", None)
