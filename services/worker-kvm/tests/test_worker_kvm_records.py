"""Records of VMs in files: kept over a restart, lost with the host's boot, owned by one."""

from pathlib import Path

import pytest
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from engine.hosted.records import RunDirectoryInUseError
from schema.objects.errors import InternalError
from worker_kvm.numbered import NumberedRecords
from worker_kvm.qemu.machine import Machine, created
from worker_kvm.qemu.records import Records

VM = sample_vm()


def add(records: Records, name: str = "v1") -> Machine:
    return records.change(name, lambda machine: created(machine, VM, 1, 0.0))


def test_what_was_noted_is_known_after_a_restart(tmp_path: Path) -> None:
    records = Records(tmp_path)
    noted = add(records)
    records.close()
    again = Records(tmp_path)
    assert again.all() == [noted]
    assert again.read("v1") == noted
    again.close()


def test_a_record_goes_with_the_name_and_is_forgotten_when_blank(tmp_path: Path) -> None:
    records = Records(tmp_path)
    add(records)
    records.rename("v1", "v2")
    records.rename("v1", "v2")
    assert [machine.id for machine in records.all()] == ["v2"]
    records.change("v2", lambda machine: machine.but(domain=None))
    assert records.all() == []
    assert not list((tmp_path / "vm").iterdir())
    records.remove("v2")
    records.close()


def test_numbers_of_domains_are_never_used_twice(tmp_path: Path) -> None:
    records = Records(tmp_path)
    first = [records.next_domid(), records.next_domid()]
    records.close()
    again = Records(tmp_path)
    assert [*first, again.next_domid()] == [1, 2, 3]
    again.close()


def test_a_directory_has_one_owner_at_a_time(tmp_path: Path) -> None:
    records = Records(tmp_path)
    with pytest.raises(RunDirectoryInUseError, match="set XENOPS_RUN_DIR to a directory"):
        Records(tmp_path, patience_s=0.0)
    records.close()
    Records(tmp_path, patience_s=0.0).close()


def test_another_boot_of_the_host_empties_it(tmp_path: Path) -> None:
    records = Records(tmp_path)
    add(records)
    records.sockets(1).mkdir()
    records.close()
    (tmp_path / "boot").write_text("another")
    again = Records(tmp_path)
    assert again.all() == []
    assert not records.sockets(1).exists()
    again.close()


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    records = Records(tmp_path)
    add(records)
    records.close()
    (tmp_path / "vm" / "v1.json").write_text("{")
    error = refusal(lambda: Records(tmp_path))
    assert isinstance(error, InternalError)
    assert "v1.json of a VM is damaged" in error.message


def test_vms_of_another_backend_are_not_taken(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.close()
    NumberedRecords(Machine, tmp_path, "libvirt", patience_s=0.0).close()
    records = Records(tmp_path)
    add(records)
    records.close()
    error = refusal(lambda: NumberedRecords(Machine, tmp_path, "libvirt", patience_s=0.0))
    assert isinstance(error, InternalError)
    assert "set XENOPS_BACKEND=qemu and shut them down first" in error.message
    assert [record.id for record in Records(tmp_path, patience_s=0.0).all()] == ["v1"]


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refusal(lambda: Records(tmp_path / "file" / "run"))
    assert isinstance(error, InternalError)
    assert "cannot take the run directory" in error.message
