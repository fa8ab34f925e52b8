"""The Xen test host's hardware: which computer QEMU emulates, and where one is kept.

What was saved is resumed with the same command line, by the same QEMU.
"""

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

MEMORY_MIB, DOM0_MIB = 2560, 1024
"""Of the emulated computer, and of dom0 in it."""

INSTRUCTION_SHIFT = 2
"""An instruction takes 4 ns by a machine's own clock: about what an idle core makes of it."""

SOURCES = "sources.ext4"
"""The project's disk, in the machine's directory."""

PREFIX = "machine-"
"""How the names of machines' directories begin; then comes the process that has it."""


class MachineError(Exception):
    """The machine cannot be run; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine is kept: `image` has what `xen_image` built, `directory` is this machine's own."""

    image: Path
    directory: Path
    has_iommu: bool = False
    """And a PCI device to spare. QEMU cannot save such a machine."""
    has_own_clock: bool = False
    """It counts instructions: where others use the cores all goes slower, and no patience inside ends."""
    has_nodes: bool = False
    """And two processors, each with half of the memory near it; dom0 has one of them."""
    has_systemd: bool = False
    """As dom0's first process, with Debian's own scripts for Xen; else the one of `tools/xen-host-init`."""

    @property
    def snapshot(self) -> Path:
        """The saved machine, beside the image that it runs on: it is of this QEMU and of this hardware."""
        hardware = command_line(
            replace(self, image=Path("image"), directory=Path("machine")), Path("disk"), port=0
        )
        return self.image / f"saved-{qemu_version()}-{crc32(' '.join(hardware).encode()):08x}"


def machine_place(
    image: Path,
    *,
    has_iommu: bool = False,
    has_own_clock: bool = False,
    has_nodes: bool = False,
    has_systemd: bool = False,
) -> Place:
    """A machine of this process's own."""
    return Place(
        image.resolve(),
        image.parent / f"{PREFIX}{os.getpid()}",
        has_iommu=has_iommu,
        has_own_clock=has_own_clock,
        has_nodes=has_nodes,
        has_systemd=has_systemd,
    )


def command_line(place: Place, disk: Path, port: int) -> list[str]:
    """QEMU's command line; what was saved is resumed with the same one.

    One thread, and neither SMAP nor XSAVE: with them, Xen's guests crash at random under emulation.
    """
    xen = f"console=com1 com1=115200,8n1 dom0_mem={DOM0_MIB}M,max:{DOM0_MIB}M loglvl=info"
    xen += (" iommu=1" if place.has_iommu else "") + (" dom0_max_vcpus=1" if place.has_nodes else "")
    linux = "console=hvc0 panic=-1 net.ifnames=0" + (" init=/sbin/init" if place.has_systemd else "")
    image = place.image
    network = f"user,id=net,net=10.0.2.0/24,hostfwd=tcp:127.0.0.1:{port}-:22"
    return [
        *("qemu-system-x86_64", "-name", "xen-host", "-no-user-config", "-nodefaults", "-display", "none"),
        *(
            "-machine",
            "q35" if place.has_iommu else "pc",
            "-accel",
            "tcg,thread=single",
            "-cpu",
            "max,-smap,-xsave",
        ),
        *(nodes() if place.has_nodes else ("-smp", "1")),
        *(() if place.has_systemd else ("-no-reboot",)),
        *(("-icount", f"shift={INSTRUCTION_SHIFT}") if place.has_own_clock else ()),
        *("-m", str(MEMORY_MIB), "-serial", "file:console", "-rtc", "base=utc"),
        *("-qmp", "unix:qmp,server=on,wait=off"),
        *("-kernel", str(image / "xen"), "-append", xen),
        *("-initrd", f"{image / 'vmlinuz'} {linux},{image / 'initrd.gz'}"),
        *("-drive", f"file={disk},format=qcow2,if=virtio,cache=unsafe"),
        *("-drive", f"file={SOURCES},format=raw,if=virtio,cache=unsafe"),
        *("-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile="),
        *(spare_devices() if place.has_iommu else ()),
    ]


def spare_devices() -> list[str]:
    """For guests: a network card, by an IOMMU, and a keyboard at USB's first port."""
    devices = ("amd-iommu", "e1000,romfile=", "qemu-xhci,id=usb", "usb-kbd,bus=usb.0,port=1")
    return [word for device in devices for word in ("-device", device)]


def nodes() -> list[str]:
    """Two processors, half of the memory near each, as the firmware's tables tell the hypervisor."""
    words = ["-smp", "2"]
    for node in range(2):
        words += ["-object", f"memory-backend-ram,id=memory{node},size={MEMORY_MIB // 2}M"]
        words += ["-numa", f"node,nodeid={node},cpus={node},memdev=memory{node}"]
    return [*words, "-numa", "dist,src=0,dst=1,val=21"]


def qemu_version() -> str:
    """QEMU's version: it resumes what the same one saved. Errors: `MachineError`, there is none."""
    try:
        words = subprocess.run(
            ["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise MachineError("the Xen host runs in QEMU; run: apt-get install qemu-system-x86") from error
    return words.stdout.split()[3]
