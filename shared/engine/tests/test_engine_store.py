import errno
import json
import logging
import multiprocessing
import os
import threading
from pathlib import Path

import pytest
from engine.conformance.samples import sample_pci, sample_vbd, sample_vm, sample_vusb
from engine.conformance.subject import refusal
from engine.store import FileStore, Store, is_device_name
from engine.store import cells as cells_module
from schema.fault import XenopsError
from schema.ids import DeviceId
from schema.objects.errors import AlreadyExists, DoesNotExist, InternalError
from schema.objects.vbd import VbdMode
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif

HOSTILE = ["", ".", "..", "../x", "a/b", "a..b", ".hidden", "-x", "x" * 65, "a\0b", "a\nb", "é"]
BIG_FILE_ROUNDS = 50


@pytest.fixture(name="store")
def make_store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path)


def fill(store: Store) -> None:
    store.write(sample_vm())
    store.vbds.write(sample_vbd("xvdb"))
    store.vbds.write(sample_vbd("xvda"))
    store.vifs.write(Vif(id=DeviceId("v1", "0")))
    store.pcis.write(sample_pci())
    store.vgpus.write(Vgpu(id=DeviceId("v1", "0")))
    store.vusbs.write(sample_vusb())


def test_the_tree_is_the_original_s(store: FileStore, tmp_path: Path) -> None:
    fill(store)
    folder = tmp_path / "VM" / "v1"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["config", "pci.0000:04:00.0", "vbd.xvda", "vbd.xvdb", "vgpu.0", "vif.0", "vusb.vusb1-2"]
    assert json.loads((folder / "vbd.xvda").read_text())["id"] == ["v1", "xvda"]
    assert (folder / "config").read_text().startswith('{"has_vendor_device":false,')


def test_what_is_written_is_read_by_another_store(store: FileStore, tmp_path: Path) -> None:
    fill(store)
    other = FileStore(tmp_path)
    assert other.read("v1") == sample_vm()
    assert other.ids() == ("v1",)
    assert other.list() == (sample_vm(),)
    devices = other.devices("v1")
    assert [disk.id.device for disk in devices.vbds] == ["xvda", "xvdb"]
    assert (devices.pcis, devices.vusbs) == ((sample_pci(),), (sample_vusb(),))
    assert len(devices.vifs) == len(devices.vgpus) == 1
    assert other.vbds.read(DeviceId("v1", "xvda")) == sample_vbd()
    assert other.vbds.exists(DeviceId("v1", "xvda"))


def test_strings_that_are_not_utf8_keep_their_bytes(store: FileStore, tmp_path: Path) -> None:
    store.write(sample_vm(name="caf\udce9"))
    assert FileStore(tmp_path).read("v1").name == "caf\udce9"


def test_what_another_process_writes_is_seen_at_once(store: FileStore, tmp_path: Path) -> None:
    other = FileStore(tmp_path)
    for number in range(BIG_FILE_ROUNDS):
        store.write(sample_vm(name=f"{number:03}"))
        assert other.read("v1").name == f"{number:03}"
    store.remove("v1")
    assert not other.exists("v1")
    assert refusal(other.read, "v1") == DoesNotExist(klass="VM", id="v1/config")


def test_a_value_that_is_so_already_is_not_written_again(store: FileStore, tmp_path: Path) -> None:
    store.write(sample_vm())
    before = (tmp_path / "VM" / "v1" / "config").stat()
    store.write(sample_vm())
    assert (tmp_path / "VM" / "v1" / "config").stat() == before
    FileStore(tmp_path).write(sample_vm(name="another"))
    store.write(sample_vm())
    assert FileStore(tmp_path).read("v1") == sample_vm()


def test_a_value_read_again_is_the_same_object(store: FileStore) -> None:
    store.write(sample_vm())
    assert store.read("v1") is store.read("v1")


def test_the_cache_starts_anew_when_it_is_full(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells_module, "_CACHED_MAX", 1)
    store.write(sample_vm("a"))
    store.write(sample_vm("b"))
    assert store.read("a") == sample_vm("a")
    assert store.read("b") == sample_vm("b")


def test_unknown_objects_are_named_as_in_the_original(store: FileStore) -> None:
    assert refusal(store.read, "v1") == DoesNotExist(klass="VM", id="v1/config")
    assert refusal(store.remove, "v1") == DoesNotExist(klass="VM", id="v1/config")
    assert refusal(store.rename, "v1", "v2") == DoesNotExist(klass="VM", id="v1/config")
    assert refusal(store.vbds.write, sample_vbd()) == DoesNotExist(klass="VM", id="v1")
    assert store.vbds.list("v1") == ()
    store.write(sample_vm())
    unknown = DeviceId("v1", "xvda")
    assert refusal(store.vbds.read, unknown) == DoesNotExist(klass="VM", id="v1/vbd.xvda")
    assert refusal(store.vbds.remove, unknown) == DoesNotExist(klass="VM", id="v1/vbd.xvda")
    assert not store.vbds.exists(unknown)


def test_a_removed_device_is_gone_and_the_others_stay(store: FileStore) -> None:
    fill(store)
    store.vbds.remove(DeviceId("v1", "xvda"))
    assert store.vbds.ids("v1") == (DeviceId("v1", "xvdb"),)


def test_a_removed_vm_takes_its_devices_along(store: FileStore, tmp_path: Path) -> None:
    fill(store)
    store.remove("v1")
    assert list((tmp_path / "VM").iterdir()) == []
    store.write(sample_vm())
    assert store.vbds.list("v1") == ()


def test_what_a_dead_remover_left_is_swept(tmp_path: Path) -> None:
    grave = tmp_path / "VM" / ".removed-v1-7-7"
    grave.mkdir(parents=True)
    (grave / "config").touch()
    assert FileStore(tmp_path).ids() == ()
    assert list((tmp_path / "VM").iterdir()) == []


def test_adding_a_vm_again_replaces_it_and_leaves_its_devices(store: FileStore) -> None:
    fill(store)
    store.write(sample_vm(name="renamed"))
    assert store.read("v1").name == "renamed"
    assert len(store.devices("v1").vbds) == 2


def test_a_renamed_vm_has_its_devices_by_its_new_id(store: FileStore) -> None:
    fill(store)
    store.rename("v1", "v2")
    assert store.ids() == ("v2",)
    assert store.read("v2") == sample_vm("v2")
    devices = store.devices("v2")
    disks = [disk.id for disk in devices.vbds]
    assert disks == [DeviceId("v2", "xvda"), DeviceId("v2", "xvdb")]
    others = (devices.vifs[0].id, devices.pcis[0].id, devices.vgpus[0].id, devices.vusbs[0].id)
    assert {id_.vm for id_ in others} == {"v2"}


def test_a_vm_is_not_renamed_onto_another(store: FileStore) -> None:
    store.write(sample_vm("v1"))
    store.write(sample_vm("v2"))
    assert refusal(store.rename, "v1", "v2") == AlreadyExists(klass="VM", id="VM/v2/config")
    assert store.ids() == ("v1", "v2")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_vm_id_touches_no_file(store: FileStore, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert not store.exists(name)
    assert refusal(store.read, name) == DoesNotExist(klass="VM", id=f"{name}/config")
    assert refusal(store.remove, name) == DoesNotExist(klass="VM", id=f"{name}/config")
    error = refusal(store.write, sample_vm(name))
    assert isinstance(error, InternalError)
    assert "64 letters" in error.message
    assert refusal(store.vbds.write, sample_vbd("xvda", name)) == DoesNotExist(klass="VM", id=name)
    assert not store.vbds.exists(DeviceId(name, "xvda"))
    assert store.vbds.list(name) == ()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_device_name_touches_no_file(store: FileStore, tmp_path: Path, name: str) -> None:
    store.write(sample_vm())
    before = sorted(tmp_path.rglob("*"))
    error = refusal(store.vbds.write, sample_vbd(name))
    assert isinstance(error, InternalError)
    assert "unfit for a file" in error.message
    unknown = DoesNotExist(klass="VM", id=f"v1/vbd.{name}")
    assert refusal(store.vbds.read, DeviceId("v1", name)) == unknown
    assert refusal(store.vbds.remove, DeviceId("v1", name)) == unknown
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["xvda", "0", "0000:04:00.0", "vusb1-2.3", "sda1"])
def test_names_that_xapi_gives_its_devices_are_fit(name: str) -> None:
    assert is_device_name(name)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"id":7}'], ids=["empty", "cut", "list", "wrong"])
def test_a_damaged_file_is_named_and_others_do_not_suffer(
    store: FileStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes
) -> None:
    fill(store)
    store.write(sample_vm("v2"))
    path = tmp_path / "VM" / "v1" / "config"
    path.write_bytes(text)
    error = refusal(store.read, "v1")
    assert isinstance(error, InternalError)
    assert str(path) in error.message
    with caplog.at_level(logging.WARNING):
        assert store.list() == (sample_vm("v2"),)
    assert "v1" in caplog.text
    store.write(sample_vm())
    assert store.read("v1") == sample_vm()
    path.write_bytes(text)
    store.remove("v1")
    assert store.ids() == ("v2",)


def test_a_damaged_device_is_not_left_out_in_silence(store: FileStore, tmp_path: Path) -> None:
    fill(store)
    path = tmp_path / "VM" / "v1" / "vbd.xvda"
    path.write_text('{"id":')
    assert str(path) in str(refusal(store.devices, "v1"))
    assert store.vifs.list("v1")
    store.vbds.remove(DeviceId("v1", "xvda"))
    assert len(store.devices("v1").vbds) == 1


def test_a_full_disk_leaves_the_old_value(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(sample_vm(name="old"))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        error = refusal(store.write, sample_vm(name="new"))
    assert isinstance(error, InternalError)
    assert "No space left on device" in error.message
    assert store.read("v1").name == "old"
    assert FileStore(tmp_path).read("v1").name == "old"
    assert [path.name for path in (tmp_path / "VM" / "v1").iterdir()] == ["config"]


def test_what_cannot_be_read_or_made_is_told(store: FileStore, tmp_path: Path) -> None:
    store.write(sample_vm())
    (tmp_path / "VM" / "v1" / "vbd.xvda").mkdir()
    assert "Cannot read the metadata" in str(refusal(store.vbds.read, DeviceId("v1", "xvda")))
    assert "Cannot remove the metadata" in str(refusal(store.vbds.remove, DeviceId("v1", "xvda")))
    (tmp_path / "VM" / "v2").write_text("a file where a directory belongs")
    assert "Cannot make the directory of VM v2" in str(refusal(store.write, sample_vm("v2")))
    assert not store.exists("v2")
    (tmp_path / "file").write_text("")
    assert "Cannot make the metadata directory" in str(refusal(FileStore, tmp_path / "file"))


def test_readers_see_whole_values_while_a_writer_writes(store: FileStore) -> None:
    store.write(sample_vm(name="a" * 10_000))
    stop = threading.Event()
    torn: list[str] = []

    def read() -> None:
        while not stop.is_set():
            name = store.read("v1").name
            if set(name) not in ({"a"}, {"b"}) or len(name) != 10_000:
                torn.append(name)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(BIG_FILE_ROUNDS):
        store.write(sample_vm(name="ab"[number % 2] * 10_000))
    stop.set()
    for reader in readers:
        reader.join()
    assert torn == []


def test_a_vm_removed_while_its_device_is_written_leaves_nothing(store: FileStore, tmp_path: Path) -> None:
    def write() -> None:
        for number in range(BIG_FILE_ROUNDS):
            store.write(sample_vm())
            try:
                store.vbds.write(sample_vbd(f"xvd{number}"))
            except XenopsError as error:
                assert error.error == DoesNotExist(klass="VM", id="v1")  # noqa: PT017  either is right

    def remove() -> None:
        for _ in range(BIG_FILE_ROUNDS):
            try:
                store.remove("v1")
            except XenopsError as error:
                assert error.error == DoesNotExist(klass="VM", id="v1/config")  # noqa: PT017  either is right

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        write()
    except XenopsError as error:
        assert "write it again" in str(error)  # noqa: PT017  the narrowest of races
    remover.join()
    if store.exists("v1"):
        store.remove("v1")
    assert [path for path in (tmp_path / "VM").iterdir() if not path.name.startswith(".")] == []


def test_a_file_in_the_place_of_a_vms_directory_is_named(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "VM").mkdir(exist_ok=True)
    (tmp_path / "VM" / "v1").write_text("in the way")
    with pytest.raises(XenopsError, match="Cannot make the directory of VM v1: File exists"):
        store.write(sample_vm())


def _write_and_die(root: Path) -> None:
    store = FileStore(root)
    store.write(sample_vm(name="whole"))
    os._exit(1)


def test_a_writer_that_dies_loses_nothing_it_has_written(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_write_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert FileStore(tmp_path).read("v1").name == "whole"


def test_a_changed_mode_is_kept(store: FileStore) -> None:
    store.write(sample_vm())
    store.vbds.write(sample_vbd().model_copy(update={"mode": VbdMode.READ_ONLY}))
    assert store.vbds.read(DeviceId("v1", "xvda")).mode is VbdMode.READ_ONLY
