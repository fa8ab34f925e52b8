import errno
import json
import multiprocessing
import os
from pathlib import Path

import pytest
from engine.conformance.samples import sample_vbd, sample_vm
from engine.conformance.stores import Place, StoreConformance, fill
from engine.conformance.subject import refusal
from engine.store import FileStore, is_device_name
from engine.store import cells as cells_module
from schema.fault import XenopsError
from schema.ids import DeviceId
from schema.objects.errors import InternalError
from typing_extensions import override


class Files(Place):
    """A directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @override
    def open(self) -> FileStore:
        return FileStore(self._root)

    @override
    def damage(self, vm: str, name: str, text: bytes) -> str:
        path = self._root / "VM" / vm / name
        path.write_bytes(text)
        return str(path)

    @override
    def everything(self) -> list[str]:
        return sorted(str(path) for path in self._root.rglob("*"))


class TestFiles(StoreConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Files(tmp_path)


@pytest.fixture(name="store")
def make_store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path)


def test_the_tree_is_the_original_s(store: FileStore, tmp_path: Path) -> None:
    fill(store)
    folder = tmp_path / "VM" / "v1"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["config", "pci.0000:04:00.0", "vbd.xvda", "vbd.xvdb", "vgpu.0", "vif.0", "vusb.vusb1-2"]
    assert json.loads((folder / "vbd.xvda").read_text())["id"] == ["v1", "xvda"]
    assert (folder / "config").read_text().startswith('{"has_vendor_device":false,')


def test_a_value_that_is_so_already_is_not_written_again(store: FileStore, tmp_path: Path) -> None:
    store.write(sample_vm())
    before = (tmp_path / "VM" / "v1" / "config").stat()
    store.write(sample_vm())
    assert (tmp_path / "VM" / "v1" / "config").stat() == before
    FileStore(tmp_path).write(sample_vm(name="another"))
    store.write(sample_vm())
    assert FileStore(tmp_path).read("v1") == sample_vm()


def test_the_cache_starts_anew_when_it_is_full(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells_module, "_CACHED_MAX", 1)
    store.write(sample_vm("a"))
    store.write(sample_vm("b"))
    assert store.read("a") == sample_vm("a")
    assert store.read("b") == sample_vm("b")


def test_what_a_dead_remover_left_is_swept(tmp_path: Path) -> None:
    grave = tmp_path / "VM" / ".removed-v1-7-7"
    grave.mkdir(parents=True)
    (grave / "config").touch()
    assert FileStore(tmp_path).ids() == ()
    assert list((tmp_path / "VM").iterdir()) == []


@pytest.mark.parametrize("name", ["xvda", "0", "0000:04:00.0", "vusb1-2.3", "sda1"])
def test_names_that_xapi_gives_its_devices_are_fit(name: str) -> None:
    assert is_device_name(name)


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


def test_a_removed_vm_leaves_no_directory(store: FileStore, tmp_path: Path) -> None:
    fill(store)
    store.remove("v1")
    assert list((tmp_path / "VM").iterdir()) == []


def test_an_empty_file_is_damaged(store: FileStore, tmp_path: Path) -> None:
    store.write(sample_vm())
    (tmp_path / "VM" / "v1" / "config").write_bytes(b"")
    assert "is damaged" in str(refusal(store.read, "v1"))


@pytest.mark.parametrize("way", [("v1", "v2"), ("v2", "v1")], ids=["on", "back"])
def test_a_rename_that_was_cut_short_is_gone_on_with(tmp_path: Path, way: tuple[str, str]) -> None:
    store = FileStore(tmp_path)
    store.write(sample_vm("v1"))
    for disk in ("xvda", "xvdb"):
        store.vbds.write(sample_vbd(disk, "v1"))
    store.write(sample_vm("v2"))
    store.vbds.write(sample_vbd("xvda", "v2"))
    store.rename(*way)
    assert store.ids() == (way[1],)
    assert [vbd.id.device for vbd in store.vbds.list(way[1])] == ["xvda", "xvdb"]
