"""Which file a disk of a storage repository is; names that would lead elsewhere lead nowhere."""

from pathlib import Path

import pytest
from engine.conformance.subject import refusal
from engine.hosted.machine import Source
from engine.hosted.storage.directory import DirectoryStorage, NoStorage
from engine.hosted.storage.ports import Storage, Use
from schema.objects.errors import DoesNotExist, InternalError, Unimplemented


@pytest.fixture(name="storage")
def make_storage(tmp_path: Path) -> DirectoryStorage:
    (tmp_path / "srs" / "sr").mkdir(parents=True)
    for name in ("srs/sr/a.raw", "srs/sr/b.qcow2", "srs/sr/c.raw", "srs/sr/c.qcow2", "secret.raw"):
        (tmp_path / name).touch()
    (tmp_path / "srs" / "sr" / "Plätze, alle.raw").touch()
    return DirectoryStorage(tmp_path / "srs")


def attach(storage: Storage, name: str) -> str | Source:
    return storage.attach(Use(name, "1", "xvda"))


@pytest.mark.parametrize(("name", "file"), [("sr/a", "a.raw"), ("sr/b", "b.qcow2")])
def test_a_disk_is_found_by_its_name(storage: DirectoryStorage, tmp_path: Path, name: str, file: str) -> None:
    assert attach(storage, name) == str(tmp_path / "srs" / "sr" / file)


def test_a_name_may_have_what_a_files_may(storage: DirectoryStorage) -> None:
    assert str(attach(storage, "sr/Plätze, alle")).endswith("/Plätze, alle.raw")


def test_a_disk_that_is_not_there_is_named(storage: DirectoryStorage) -> None:
    assert refusal(lambda: attach(storage, "sr/x")) == DoesNotExist(klass="VDI", id="sr/x")
    assert refusal(lambda: attach(storage, "nowhere/a")) == DoesNotExist(klass="VDI", id="nowhere/a")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "sr",
        "sr/",
        "/a",
        "../secret",
        "sr/../../secret",
        "sr/..",
        ".sr/a",
        "sr/a\n",
        "sr/a\0",
        "sr//a",
    ],
)
def test_a_name_that_is_none_is_refused(storage: DirectoryStorage, name: str) -> None:
    error = refusal(lambda: attach(storage, name))
    assert isinstance(error, InternalError)
    assert "give SR/VDI" in error.message


def test_a_name_that_no_file_can_have_is_refused(storage: DirectoryStorage) -> None:
    assert "cannot be looked for" in str(refusal(lambda: attach(storage, "sr/" + "x" * 300)))


def test_a_disk_that_is_there_twice_is_not_chosen(storage: DirectoryStorage) -> None:
    assert "c.raw and c.qcow2" in str(refusal(lambda: attach(storage, "sr/c")))


def test_a_host_without_storage_says_so() -> None:
    error = refusal(lambda: attach(NoStorage(), "sr/a"))
    assert isinstance(error, Unimplemented)
    assert "XENOPS_SR_DIRECTORY" in error.what
    assert "XENOPS_STORAGE_QUEUE" in error.what


def test_a_directory_need_not_hear_who_uses_what(storage: DirectoryStorage) -> None:
    use = Use("sr/a", "1", "xvda")
    storage.begin(use.name, use.owner, persistent=False)
    storage.activate(use)
    storage.deactivate(use)
    storage.detach(use)
    storage.end(use.name, None)
    assert not storage.keeps_epochs
    assert str(attach(storage, "sr/a")).endswith("/a.raw")
