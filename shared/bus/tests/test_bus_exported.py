import json

import pytest
from bus.exported import ExportError, exported, imported
from bus.ports import Entry
from bus.quarantine import Quarantined
from schema.ids import InstanceName, Offset, TaskId, VmId
from schema.records import DeadlineSet, Finished, Record, Succeeded

INSTANCE = InstanceName("an.instance")
VM = VmId("vm")
FORGED = Quarantined(
    log=INSTANCE,
    offset=Offset(4),
    reason="forged",
    routing_key="k",
    user="u",
    producer=None,
    seq=None,
    at=None,
    size=3,
    shown=r"\x1b",
)


@pytest.mark.parametrize(
    "record",
    [
        DeadlineSet(vm=VM, task=TaskId(1), deadline=None),
        Finished(vm=VM, task=TaskId(1), outcome=Succeeded(result={"é": float("inf")})),
    ],
)
def test_what_is_exported_is_imported_as_it_stood(record: Record) -> None:
    found = imported(exported(INSTANCE, Entry(Offset(7), 3.5, record, "p", 9)).encode())
    assert found == Entry(Offset(7), 3.5, record)
    assert isinstance(found, Entry)
    assert (found.producer, found.seq) == ("p", 9)


def test_a_line_is_an_offset_and_an_envelope() -> None:
    entry = Entry(Offset(7), 3.5, DeadlineSet(vm=VM, task=TaskId(1), deadline=None), "p", 9)
    line = json.loads(exported(INSTANCE, entry))
    assert line["offset"] == 7
    assert line["envelope"]["record"] == {
        "kind": "DeadlineSet",
        "vm": "vm",
        "task": 1,
        "deadline": None,
        "by": "",
    }
    assert {key: line["envelope"][key] for key in ("producer", "seq", "at", "instance")} == {
        "producer": "p",
        "seq": 9,
        "at": 3.5,
        "instance": "an.instance",
    }


def test_what_is_in_quarantine_stays_there() -> None:
    assert imported(exported(INSTANCE, FORGED).encode()) == FORGED


def test_a_record_of_a_newer_version_is_in_quarantine_with_its_reason() -> None:
    envelope = b'{"producer": "p", "seq": 1, "at": 0, "instance": "i", "record": {"kind": "New"}}'
    line = b'{"offset": 8, "envelope": ' + envelope + b"}"
    found = imported(line)
    assert isinstance(found, Quarantined)
    assert (found.offset, found.size) == (8, len(line))
    assert "does not parse" in found.reason
    assert "New" in found.shown


@pytest.mark.parametrize("line", [b"", b"[]", b'{"offset": "a"}', b"\xff"])
def test_a_line_that_no_export_has_written_is_refused(line: bytes) -> None:
    with pytest.raises(ExportError, match="does not parse"):
        imported(line)
