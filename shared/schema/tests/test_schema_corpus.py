"""Logs outlive versions: what a version has written every later one reads, and passes over what is newer."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from schema.records import ENVELOPE, Record

LINES = Path(__file__).with_name("records-1.jsonl").read_bytes().splitlines()
"""One record of each kind at least, as the first version wrote them: never edited, only added to."""


def contains(newer: Any, older: Any) -> bool:
    """Whether all that an older value says is still said."""
    if isinstance(older, dict) and isinstance(newer, dict):
        return all(key in newer and contains(newer[key], value) for key, value in older.items())
    return bool(newer == older)


@pytest.mark.parametrize("line", LINES, ids=lambda line: str(json.loads(line)["record"]["kind"]))
def test_what_an_earlier_version_wrote_is_read_and_means_the_same(line: bytes) -> None:
    again = json.loads(ENVELOPE.dump_json(ENVELOPE.validate_json(line)))
    assert contains(again, json.loads(line))


@pytest.mark.parametrize("line", LINES, ids=lambda line: str(json.loads(line)["record"]["kind"]))
def test_keys_of_a_newer_version_are_ignored(line: bytes) -> None:
    newer = json.loads(line)
    newer["newer"] = newer["record"]["newer"] = {"any": ["thing"]}
    assert ENVELOPE.validate_json(json.dumps(newer)) == ENVELOPE.validate_json(line)


def test_every_kind_has_a_sample() -> None:
    kinds = {kind.model_fields["kind"].default for kind in get_args(get_args(Record)[0])}
    assert {json.loads(line)["record"]["kind"] for line in LINES} == kinds


@pytest.mark.parametrize("place", [("record",), ("record", "operation")])
def test_a_kind_or_an_operation_of_a_newer_version_is_no_record_for_this_one(place: tuple[str, ...]) -> None:
    newer = json.loads(LINES[0])
    inner = newer
    for key in place:
        inner = inner[key]
    inner["kind"] = "Newer"
    with pytest.raises(ValidationError):
        ENVELOPE.validate_json(json.dumps(newer))
