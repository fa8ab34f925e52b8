import json

import pytest
from schema.ids import InstanceName, LeaseToken, TaskId, VmId, is_safe_name
from schema.objects.dynamic import VbdObject, VmObject
from schema.objects.errors import Cancelled
from schema.operations import VmStart
from schema.records import ENVELOPE, Envelope, Failed, Finished, Record, Submitted, Succeeded
from schema.wire.types import DeviceId

VM = VmId("vm")


def enveloped(record: Record) -> Envelope:
    return Envelope(producer="p", seq=1, at=1.5, instance=InstanceName("i"), record=record)


@pytest.mark.parametrize(
    "record",
    [
        Submitted(vm=VM, operation=VmStart(vm=VM), request_id="r", dbg="d", accept_by=2.0),
        Finished(vm=VM, task=TaskId(3), outcome=Succeeded(), token=LeaseToken(4)),
        Finished(
            vm=VM,
            task=TaskId(3),
            outcome=Failed(error=Cancelled(task="3")),
            changed=(VmObject(id="vm"), VbdObject(id=DeviceId("vm", "xvda"))),
        ),
    ],
)
def test_a_record_is_read_back_as_it_was_appended(record: Record) -> None:
    envelope = enveloped(record)
    assert ENVELOPE.validate_json(ENVELOPE.dump_json(envelope)) == envelope


def test_a_key_of_a_newer_writer_is_ignored() -> None:
    envelope = enveloped(Finished(vm=VM, task=TaskId(3), outcome=Succeeded()))
    content = json.loads(ENVELOPE.dump_json(envelope))
    content["record"]["invented_later"] = 1
    content["invented_later"] = 2
    assert ENVELOPE.validate_json(json.dumps(content)) == envelope


@pytest.mark.parametrize("name", ["a", "A-1", "7b719ce6-0b17-9733-e8ee-dbc1e6e7b701", "x.y_z", "a" * 64])
def test_a_name_that_may_become_a_file_is_safe(name: str) -> None:
    assert is_safe_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a..b", "-a", "a/b", "a b", "a\n", "é", "a" * 65, "../x"])
def test_a_name_that_may_not_become_a_file_is_unsafe(name: str) -> None:
    assert not is_safe_name(name)
