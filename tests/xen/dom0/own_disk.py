"""A disk that a guest boots from: a partition with a file system, GRUB's configuration, a kernel.

pygrub finds them there; so does GRUB itself, once it is in front of the partition.
"""

import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

SECTOR_BYTES, FIRST_SECTOR = 512, 2048
LINUX = 0x83
GRUB = Path("/usr/lib/grub/i386-pc")
GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "normal", "linux")
BOOT_CODE_BYTES = 446
"""Of a disk's first sector; then comes the table of partitions."""

CONFIGURATION = """\
set default=0
set timeout=0
menuentry "the tiny guest" {{
    linux /boot/vmlinuz {words}
    initrd /boot/initrd.gz
}}
"""


def make_own_disk(path: Path, kernel: Path, ramdisk: Path, words: str) -> None:
    """Write it; `words` are on the kernel's command line."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        boot = Path(scratch) / "boot"
        (boot / "grub").mkdir(parents=True)
        (boot / "grub" / "grub.cfg").write_text(CONFIGURATION.format(words=words))
        shutil.copyfile(kernel, boot / "vmlinuz")
        shutil.copyfile(ramdisk, boot / "initrd.gz")
        size = (kernel.stat().st_size + ramdisk.stat().st_size) * 5 // 4 + (8 << 20)
        place = f"offset={FIRST_SECTOR * SECTOR_BYTES},lazy_itable_init=1"
        options = ["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-E", place, "-d", scratch]
        subprocess.run(["/sbin/mke2fs", *options, str(path), f"{size >> 10}k"], check=True)
    with path.open("r+b") as disk:
        disk.write(first_sector(size // SECTOR_BYTES))


def add_grub(disk: Path) -> None:
    """Have a BIOS start GRUB from it, which Debian's tool makes of the modules that it needs."""
    core = disk.with_suffix(".core")
    prefix = "(hd0,msdos1)/boot/grub"
    words = ["grub-mkimage", "-O", "i386-pc", "-p", prefix, "-o", str(core), *GRUB_MODULES]
    subprocess.run(words, check=True)
    with disk.open("r+b") as file:
        file.write((GRUB / "boot.img").read_bytes()[:BOOT_CODE_BYTES])
        file.seek(SECTOR_BYTES)
        assert file.write(core.read_bytes()) < (FIRST_SECTOR - 1) * SECTOR_BYTES
    core.unlink()


def first_sector(sectors: int) -> bytes:
    """That of a disk with one partition."""
    entry = struct.pack("<B3xB3xII", 0x80, LINUX, FIRST_SECTOR, sectors)
    start = entry.rjust(BOOT_CODE_BYTES + len(entry), b"\0")
    return start.ljust(SECTOR_BYTES - 2, b"\0") + b"\x55\xaa"
