"""Records as XenAPI returns them, and the database in memory."""

from xmlrpc.client import DateTime

import pytest
from xenops.toolstack.convert import Source
from xenops.toolstack.convert.disk import disk_of_vdi, vdi_of_disk
from xenops.toolstack.database import MemoryDatabase, read_known
from xenops.toolstack.failure import XenApiFailure
from xenops.toolstack.records import NULL, RecordError, VdiRecord, VmMetricsRecord, VmRecord
from xenops.toolstack.samples import SR, sample_pool, sample_vm, suspend_ref, vm_ref


def test_integers_are_texts_and_unknown_fields_are_ignored() -> None:
    fields = sample_vm(1)["VM"][vm_ref(1)]
    record = VmRecord.read(vm_ref(1), fields)
    assert (record.vcpus_max, record.memory_static_max, record.domid) == (2, 256 << 20, -1)


def test_times_may_be_xml_rpcs_objects() -> None:
    metrics = VmMetricsRecord.read("r", {"uuid": "u", "start_time": DateTime("20260101T00:00:00Z")})
    assert metrics.start_time == "20260101T00:00:00Z"


def test_a_bad_record_is_named_with_every_field_that_is_wrong() -> None:
    with pytest.raises(RecordError) as raised:
        VmRecord.read("OpaqueRef:1", {"uuid": "u", "VCPUs_max": "many", "memory_static_max": "1"})
    sentence = str(raised.value)
    for words in ("VM OpaqueRef:1", "VCPUs_max: ", "not 'many'", "memory_dynamic_min is missing"):
        assert words in sentence


def test_what_is_no_record_at_all_is_refused() -> None:
    with pytest.raises(RecordError, match="the record: "):
        VmRecord.read("r", "nothing")  # type: ignore[arg-type]


def test_a_reference_that_leads_nowhere_is_a_handle_that_is_invalid() -> None:
    database = MemoryDatabase()
    for act in (
        lambda: database.fields("VM", "OpaqueRef:none"),
        lambda: database.update("VM", "OpaqueRef:none", {}),
    ):
        with pytest.raises(XenApiFailure) as raised:
            act()
        assert (raised.value.code, raised.value.params) == ("HANDLE_INVALID", ("VM", "OpaqueRef:none"))
    for ref in ("", NULL, "OpaqueRef:none"):
        assert read_known(database, VmRecord, ref) is None


def test_records_are_found_by_their_uuid_until_they_are_destroyed() -> None:
    database = MemoryDatabase()
    ref = database.create("console", {"protocol": "rfb"})
    uuid = str(database.fields("console", ref)["uuid"])
    assert database.find("console", uuid) == ref
    assert database.refs("console") == (ref,)
    database.destroy("console", ref)
    database.destroy("console", ref)
    assert database.find("console", uuid) is None
    assert database.refs("console") == ()
    assert database.refs("VM") == ()


def test_a_failure_without_parameters_is_its_code() -> None:
    assert str(XenApiFailure("VM_MIGRATE")) == "VM_MIGRATE"


def test_the_suspend_image_is_a_disk_of_its_storage() -> None:
    database = MemoryDatabase(sample_pool())
    database.add(sample_vm(1))
    source = Source(database)
    disk = disk_of_vdi(source, source.get(VdiRecord, suspend_ref(1)))
    assert disk is not None
    assert vdi_of_disk(source, disk.name) == suspend_ref(1)
    assert vdi_of_disk(source, "no-such-sr/suspend1") is None
    assert vdi_of_disk(source, disk.name + "x") is None
    assert disk.name.startswith(str(database.fields("SR", SR)["uuid"]))
