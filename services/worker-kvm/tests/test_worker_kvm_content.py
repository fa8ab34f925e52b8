"""Where the bytes of a disk are, and what is said when they are nowhere."""

from pathlib import Path

import pytest
from engine.conformance.samples import sample_vbd
from engine.conformance.subject import refusal
from engine.hosted.machine import Source
from engine.hosted.storage.directory import DirectoryStorage
from schema.fault import XenopsError
from schema.objects.disk import LocalDisk, Vdi
from schema.objects.errors import InternalError, Unimplemented
from worker_kvm.qemu.content import OverlaidContent


def find(directory: Path, name: str, chosen: str | None = None) -> Source:
    keys = () if chosen is None else (("format", chosen),)
    vbd = sample_vbd(extra_backend_keys=keys)
    return OverlaidContent(directory / "overlays").find(vbd, LocalDisk(path=str(directory / name)), "1")


@pytest.mark.parametrize(
    ("name", "chosen", "format_"),
    [
        ("a.raw", None, "raw"),
        ("a.qcow2", None, "qcow2"),
        ("a.img", "qcow2", "qcow2"),
        ("a.qcow2", "raw", "raw"),
    ],
)
def test_the_name_says_the_format_unless_the_vbd_does(
    tmp_path: Path, name: str, chosen: str | None, format_: str
) -> None:
    (tmp_path / name).touch()
    assert find(tmp_path, name, chosen).format == format_


def test_what_cannot_be_used_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "a.raw").touch()
    for name, chosen, words in (
        ("absent", None, "make it, or correct the VBD's backend"),
        ("d", None, "cannot be read"),
        ("nul\0", None, "cannot be read"),
        ("a.raw", "vhd", "give raw or qcow2"),
    ):
        error = refusal(find, tmp_path, name, chosen)
        assert isinstance(error, InternalError)
        assert words in error.message


def test_a_disk_of_a_storage_service_is_not_known(tmp_path: Path) -> None:
    content, vdi = OverlaidContent(tmp_path), Vdi(name="sr/1")
    assert isinstance(refusal(content.find, sample_vbd(), vdi, "1"), Unimplemented)
    assert isinstance(refusal(lambda: content.begin(vdi, "1", persistent=False)), Unimplemented)


def test_an_epoch_has_an_overlay_made_once(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(1024))
    content, disk = OverlaidContent(tmp_path / "overlays"), LocalDisk(path=str(path))
    content.begin(disk, None, persistent=False)
    found = content.find(sample_vbd(), disk, "1")
    written = Path(found.path).read_bytes()
    assert (found.format, Path(found.path).parent) == ("qcow2", tmp_path / "overlays")
    assert written.startswith(b"QFI\xfb")
    assert content.find(sample_vbd(), disk, "1") == found
    content.end(disk, None)
    content.end(disk, None)
    assert content.find(sample_vbd(), disk, "1") == Source(path=str(path), format="raw")


def test_a_suspend_image_is_written_over_what_is_storages_and_beside_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "sr").mkdir()
    for name in ("a.raw", "b.qcow2"):
        (tmp_path / "sr" / name).touch()
    content = OverlaidContent(tmp_path / "overlays", DirectoryStorage(tmp_path))
    with content.image(Vdi(name="sr/a"), "1", read_only=False) as place:
        assert (place.path, place.draft) == (tmp_path / "sr" / "a.raw", None)
    with content.image(LocalDisk(path=str(tmp_path / "i")), "1", read_only=False) as place:
        assert place.draft == tmp_path / "i.partial"
    with pytest.raises(XenopsError) as caught, content.image(Vdi(name="sr/b"), "1", read_only=True):
        pytest.fail("qcow2 has no room for it")
    assert isinstance(caught.value.error, Unimplemented)


def test_an_overlay_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    path = tmp_path / "damaged.qcow2"
    path.write_bytes(b"no qcow2")
    content, disk = OverlaidContent(tmp_path / "overlays"), LocalDisk(path=str(path))
    content.begin(disk, None, persistent=False)
    error = refusal(content.find, sample_vbd(), disk, "1")
    assert isinstance(error, InternalError)
    assert "Cannot make an overlay for the disk" in error.message
