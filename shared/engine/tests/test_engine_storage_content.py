"""Where the bytes of a disk are on a host that forgets nothing, and what is said when they are nowhere."""

from pathlib import Path

import pytest
from engine.conformance.samples import sample_vbd
from engine.conformance.subject import refusal
from engine.hosted.machine import Source
from engine.hosted.storage.content import LastingContent, path_of
from engine.hosted.storage.directory import DirectoryStorage
from engine.hosted.storage.place import Place
from engine.image import Image
from schema.fault import XenopsError
from schema.objects.disk import Disk, LocalDisk, Vdi
from schema.objects.errors import Unimplemented

CONTENT = LastingContent()


def find(disk: Disk, chosen: str | None = None) -> Source:
    return CONTENT.find(sample_vbd(extra_backend_keys=(("format", chosen),) if chosen else ()), disk, "1")


def test_a_disk_is_found_by_its_path_and_what_is_said_of_its_format(tmp_path: Path) -> None:
    for name in ("a.img", "b.qcow2"):
        (tmp_path / name).write_bytes(b"")
    raw, other = LocalDisk(path=str(tmp_path / "a.img")), LocalDisk(path=str(tmp_path / "b.qcow2"))
    assert find(raw) == Source(path=raw.path, format="raw")
    assert find(other).format == find(raw, "qcow2").format == "qcow2"


def test_a_disk_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for path, chosen, words in (
        (str(tmp_path / "none"), None, "There is no disk"),
        (str(tmp_path), None, "cannot be read"),
        ("/a\0b", None, "cannot be read"),
        (str(tmp_path / "a"), "vhd", "the format 'vhd'"),
    ):
        assert words in str(refusal(find, LocalDisk(path=path), chosen))
    assert isinstance(refusal(find, Vdi(name="sr/1")), Unimplemented)


def test_the_host_borrows_a_disk_of_storages_as_it_takes_its_own(tmp_path: Path) -> None:
    (tmp_path / "sr").mkdir()
    (tmp_path / "sr" / "a.raw").touch()
    content = LastingContent(DirectoryStorage(tmp_path))
    own = LocalDisk(path="/own")
    for disk, path in ((own, "/own"), (Vdi(name="sr/a"), str(tmp_path / "sr" / "a.raw"))):
        with content.lent(disk, "1", "bootloader", read_only=True) as found:
            assert path_of(found) == path
    assert path_of(Source(path="/dev/x", format="raw")) == "/dev/x"


def test_an_image_on_a_disk_has_its_place_there(tmp_path: Path) -> None:
    (tmp_path / "sr").mkdir()
    for name in ("a.raw", "b.qcow2"):
        (tmp_path / "sr" / name).touch()
    content = LastingContent(DirectoryStorage(tmp_path))

    def place(image: Image) -> object:
        with content.placed(image, "1", read_only=False) as found:
            return found

    assert place(Vdi(name="sr/a")) == Place(tmp_path / "sr" / "a.raw", lasts=True)
    assert place(LocalDisk(path="/i")) == Place(Path("/i"), lasts=False)
    with pytest.raises(XenopsError) as caught:
        place(Vdi(name="sr/b"))
    assert isinstance(caught.value.error, Unimplemented)
