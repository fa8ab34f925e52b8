"""Place: a message of a log is told from any other."""

from bus.place import anchor_of


def test_an_anchor_tells_messages_apart_by_body_and_by_correlation_id() -> None:
    told = [
        anchor_of(b"record", None),
        anchor_of(b"record", "2"),
        anchor_of(b"other", None),
        anchor_of(b"", "marker"),
        anchor_of(b"", "m2"),
    ]
    assert len(set(told)) == len(told)
    assert anchor_of(b"record", None) == anchor_of(b"record", "")
