"""A computer with an IOMMU and devices to spare, emulated: tests of what gives a host's devices to guests.

It has Debian's kernel, and for its file system this machine's own, read-only, with all that is written in
memory: so it has the project as it stands, its Python, and QEMU. It runs one command, tells what that said,
and ends. The same initramfs boots guests in it that see PCI and USB devices.
"""

import gzip
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from guest import (
    BUSYBOX,
    GuestError,
    archive,
    download,
    in_order,
    kept_package,
    link,
    module_name,
    refuse_where_it_cannot_work,
    run,
)

KERNEL = "linux-image-amd64"
"""Not the cloud kernel, which has neither VFIO nor USB."""

MODULES = (
    *("virtio_pci", "9pnet_virtio", "9p", "overlay"),
    *("e1000e", "8139cp", "xhci_pci", "usbhid"),
    *("vfio_pci", "vfio_iommu_type1", "kvm_amd"),
)
"""What the computer's kernel loads, in this order, each after what it depends on."""

GUEST_MODULES = ("xhci_pci",)
"""The same of its guests."""

MEMORY_MIB = 1536

INSTRUCTION_SHIFT = 2
"""An instruction takes 4 ns by its own clock: where others use the cores, no patience in it ends."""

TIMEOUT_S = 1800.0
"""Four times what all took on a busy machine: it ends one whose guest hangs, as they do there at times."""

INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
order=order
grep -q device.guest /proc/cmdline && order=order-of-guests
while read -r module; do insmod "/modules/$module"; done <"/modules/$order"
if [ "$order" = order-of-guests ]; then
    echo "device guest: up"
    while :; do setsid cttyhack sh; done
fi
ip link set lo up
chmod 666 /dev/kvm
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /lower
mount -t tmpfs fresh /fresh
mkdir /fresh/upper /fresh/work
mount -t overlay -o lowerdir=/lower,upperdir=/fresh/upper,workdir=/fresh/work root /root
for name in proc sys dev; do mount --rbind "/$name" "/root/$name"; done
mount -t tmpfs run /root/run
cp /command /root/run/command
chroot /root /bin/bash /run/command >/dev/ttyS1 2>&1
echo "device host: code $?" >/dev/ttyS1
poweroff -f
"""

DEVICES = (
    *("-device", "e1000e,addr=0x10,romfile="),
    *("-device", "rtl8139,addr=0x11.0,multifunction=on,romfile=", "-device", "rtl8139,addr=0x11.1,romfile="),
    *("-device", "qemu-xhci,id=xhci", "-device", "usb-kbd,bus=xhci.0,port=1"),
)
"""What it has to spare: a card alone in its IOMMU group, two that share one, a keyboard."""


def build(directory: Path) -> Path:
    """Have kernel and initramfs of today's ingredients in the directory; answers where."""
    refuse_where_it_cannot_work()
    wanted = hashlib.sha256(Path(__file__).read_bytes() + BUSYBOX.read_bytes()).hexdigest()[:12]
    place = directory.resolve() / wanted
    if not place.exists():
        directory.mkdir(parents=True, exist_ok=True)
        package = kept_package(directory, "linux-image-*") or download(
            directory, KERNEL, through=re.compile(r"Depends: (linux-image-[\w.+-]+)")
        )
        with tempfile.TemporaryDirectory(prefix="building-", dir=directory) as scratch:
            _build_in(Path(scratch), package).rename(place)
    link(directory / "current", wanted)
    return place


def start(image: Path, command: str, directory: Path) -> int:
    """Run a shell command in a computer of its own, and tell what it says; answers its code.

    Raises:
        GuestError: the computer came to no end by itself.
    """
    scripts = directory / "script"
    scripts.mkdir()
    (scripts / "command").write_text(command)
    initrd = directory / "initrd.gz"
    initrd.write_bytes((image / "initrd.gz").read_bytes() + gzip.compress(archive(scripts), mtime=0))
    words = directory / "words"
    with (directory / "qemu.log").open("wb") as log:
        line = ["setpriv", "--pdeathsig", "KILL", *command_line(image, initrd, directory)]
        subprocess.run(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False, timeout=TIMEOUT_S)
    said = words.read_text(errors="replace") if words.exists() else ""
    sys.stdout.write(said)
    found = re.search(r"^device host: code (\d+)", said, re.MULTILINE)
    if found is None:
        ends = [
            path.read_text(errors="replace")[-3000:]
            for path in (directory / "console", directory / "qemu.log")
            if path.exists()
        ]
        raise GuestError(f"the computer came to no end: {' '.join(ends)}")
    return int(found[1])


def command_line(image: Path, initrd: Path, directory: Path) -> list[str]:
    """QEMU's: one thread, its own clock; the IOMMU before what it is for."""
    return [
        *("qemu-system-x86_64", "-name", "device-host", "-no-user-config", "-nodefaults", "-display", "none"),
        *("-machine", "q35", "-accel", "tcg,thread=single", "-cpu", "max", "-smp", "1"),
        *("-icount", f"shift={INSTRUCTION_SHIFT}", "-m", str(MEMORY_MIB), "-no-reboot"),
        *("-serial", f"file:{directory / 'console'}", "-serial", f"file:{directory / 'words'}"),
        *("-device", "intel-iommu,intremap=on"),
        *("-kernel", str(image / "vmlinuz"), "-initrd", str(initrd)),
        *("-append", "console=ttyS0 quiet panic=-1 intel_iommu=on net.ifnames=0"),
        *("-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"),
        *("-device", "virtio-9p-pci,fsdev=host,mount_tag=host"),
        *DEVICES,
    ]


def _build_in(scratch: Path, package: Path) -> Path:
    run(["dpkg-deb", "--extract", str(package), str(scratch / "kernel")])
    modules = next((scratch / "kernel" / "lib" / "modules").iterdir())
    tree, built = scratch / "tree", scratch / "built"
    for name in ("bin", "dev", "proc", "sys", "modules", "lower", "fresh", "root"):
        (tree / name).mkdir(parents=True)
    shutil.copyfile(BUSYBOX, tree / "bin" / "busybox")
    (tree / "bin" / "busybox").chmod(0o755)
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    available = {module_name(path.stem): path for path in modules.rglob("*.ko")}
    for order, names in (("order", MODULES), ("order-of-guests", GUEST_MODULES)):
        paths = in_order(names, available)
        for path in paths:
            shutil.copyfile(path, tree / "modules" / path.name)
        (tree / "modules" / order).write_text("".join(f"{path.name}\n" for path in paths))
    built.mkdir()
    shutil.copyfile(scratch / "kernel" / "boot" / f"vmlinuz-{modules.name}", built / "vmlinuz")
    (built / "initrd.gz").write_bytes(gzip.compress(archive(tree), 1, mtime=0))
    return built


def main(words: list[str]) -> int:
    """Run a command in such a computer, from the project's directory, with its Python first on PATH."""
    root = Path(__file__).resolve().parent.parent
    image = build(root / "var" / "devices")
    command = f"cd {root} && PATH={root}/.venv/bin:{os.defpath} HOME=/root {shlex.join(words)}\n"
    with tempfile.TemporaryDirectory(prefix="device-host-") as directory:
        return start(image, command, Path(directory))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
