"""What QEMU is given open: chains of images by their own headers, kernels, and exact errors."""

import os
import struct
import subprocess
from pathlib import Path

import pytest
from engine.conformance.subject import refusal
from engine.hosted.machine import Source
from schema.objects.errors import InternalError
from worker_kvm.qemu.open_files import connected, content_words, give_content, open_readable
from worker_kvm.qemu.qcow2 import Backing, backing_of


def header(name: bytes, *, version: int = 3, format_: bytes = b"qcow2") -> bytes:
    length = 104 if version == 3 else 72
    extensions = struct.pack(">II", 0x6803F857, 3) + b"abc".ljust(8, b"\0")
    if format_:
        extensions += struct.pack(">II", 0xE2792ACA, len(format_)) + format_.ljust(8, b"\0")
    extensions += struct.pack(">II", 0, 0)
    place = length + len(extensions)
    fixed = struct.pack(">4sIQI", b"QFI\xfb", version, place if name else 0, len(name))
    rest = fixed.ljust(100, b"\0") + struct.pack(">I", length)
    return rest[:length] + extensions + name


@pytest.mark.parametrize("version", [2, 3])
def test_an_image_says_what_it_is_on_top_of(version: int) -> None:
    found = backing_of(Path("/d/top.qcow2"), header(b"base, a.qcow2", version=version))
    assert found == Backing(Path("/d/base, a.qcow2"), "qcow2")
    found = backing_of(Path("/d/top.qcow2"), header(b"/e/base", format_=b"raw", version=version))
    assert found == Backing(Path("/e/base"), "raw")


@pytest.mark.parametrize("content", [b"", b"\0" * 512, header(b"")])
def test_what_is_on_top_of_nothing_says_nothing(content: bytes) -> None:
    assert backing_of(Path("/d/i"), content) is None


UNENDED = struct.pack(">4sIQI", b"QFI\xfb", 2, 68, 4).ljust(68, b"\0") + b"base" + struct.pack(">II", 5, 0)
"""Its extensions run up to the end of what was read."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (UNENDED, "'nothing'"),
        (header(b"nbd://host/x"), "is on top of 'nbd://host/x', which is no file of this host"),
        (header(b"json:{}"), "no file"),
        (header(b"a\0b"), "no file"),
        (header(b"base", format_=b""), "whose format it calls 'nothing': set it with `qemu-img rebase"),
        (header(b"base", format_=b"vmdk"), "whose format it calls 'vmdk'"),
        (header(b"base", format_=b"")[:88], "no file"),
        (header(b"x" * 9)[:104] + b"\0" * 8 + header(b"x" * 9)[112:], "'nothing'"),
    ],
)
def test_what_cannot_be_below_is_named(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        backing_of(Path("/d/i"), content)


def make(path: Path, *options: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", *options, str(path), "1M"], check=True)
    return path


def test_a_chain_is_given_whole_and_only_its_top_to_write(tmp_path: Path) -> None:
    make(tmp_path / "base", "raw")
    make(tmp_path / "middle.qcow2", "qcow2", "-F", "raw", "-b", "base")
    top = make(tmp_path / "top.qcow2", "qcow2", "-F", "qcow2", "-b", str(tmp_path / "middle.qcow2"))
    given: list[tuple[str, int]] = []

    def give(descriptor: int) -> int:
        flags = int(Path(f"/proc/self/fdinfo/{descriptor}").read_text().split()[3], 8)
        given.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, flags & os.O_ACCMODE))
        return len(given)

    layers = give_content(Source(path=str(top), format="qcow2"), give, read_only=False)
    assert given == [("top.qcow2", os.O_RDWR), ("middle.qcow2", os.O_RDONLY), ("base", os.O_RDONLY)]
    bottom = {"driver": "raw", "file": {"driver": "file", "filename": "/dev/fdset/3"}, "read-only": True}
    middle = {
        "driver": "qcow2",
        "file": {"driver": "file", "filename": "/dev/fdset/2"},
        "backing": bottom,
        "read-only": True,
    }
    assert content_words(layers)["backing"] == middle


def test_a_disk_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    absent = Source(path=str(tmp_path / "absent"), format="raw")
    error = refusal(lambda: give_content(absent, lambda _: 1, read_only=True))
    assert error == InternalError(
        message=f"{tmp_path}/absent cannot be read: No such file or directory; see to its rights"
    )
    base = make(tmp_path / "base", "raw")
    top = Source(path=str(make(tmp_path / "top", "qcow2", "-F", "raw", "-b", "base")), format="qcow2")
    base.unlink()
    error = refusal(lambda: give_content(top, lambda _: 1, read_only=True))
    assert isinstance(error, InternalError)
    assert f"{tmp_path}/base" in error.message


def test_an_nbd_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = refusal(lambda: connected(Source(path=str(tmp_path / "s"), format="raw", export="e")))
    assert isinstance(error, InternalError)
    assert f"The NBD server at {tmp_path}/s cannot be reached" in error.message


def test_an_image_on_top_of_itself_is_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.write_bytes(header(b"loop"))
    error = refusal(lambda: give_content(Source(path=str(loop), format="qcow2"), lambda _: 1, read_only=True))
    assert isinstance(error, InternalError)
    assert "on top of more than 200 files, or of itself" in error.message


@pytest.mark.parametrize(("mode", "is_itself"), [(0o644, True), (0o600, False)])
def test_a_kernel_that_not_everybody_may_read_is_copied(
    tmp_path: Path, mode: int, *, is_itself: bool
) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"kernel" * 1000)
    kernel.chmod(mode)
    descriptor = open_readable(str(kernel))
    try:
        again = Path(f"/proc/self/fd/{descriptor}")
        assert again.read_bytes() == kernel.read_bytes()
        assert (again.readlink() == kernel) is is_itself
        assert again.stat().st_mode & 0o004
    finally:
        os.close(descriptor)
