"""The tiny guest: Debian's cloud kernel and an initramfs of busybox, built without root and kept by version.

`var/guest/vmlinuz` and `var/guest/initrd.gz` are links through `var/guest/current` to the directory of one
build, which is named after the kernel's version and a hash of everything else that went in. A build is made
beside and renamed, so it is there whole or not at all; then `current` is switched at once. Beside them are
`initrd-agent.gz`, the same with Debian's qemu-guest-agent in it, and `uefi.raw`, a disk from which UEFI boots
kernel and initramfs as one file.
"""

import gzip
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

META_PACKAGE = "linux-image-cloud-amd64"
BUSYBOX = Path("/bin/busybox")
INIT = Path(__file__).with_name("guest-init")
FILES = ("vmlinuz", "initrd.gz", "initrd-agent.gz", "uefi.raw")
AGENT_PACKAGE = "qemu-guest-agent"
STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
"""What makes one file for UEFI of a kernel and an initramfs; its sections' places in memory are below."""

UEFI_CMDLINE = "console=ttyS0 no_timer_check tsc=reliable reboot=t panic=-1 quiet"
UEFI_DISK_MIB = 40
SECTIONS = {".osrel": 0x20000, ".cmdline": 0x30000, ".linux": 0x2000000, ".initrd": 0x3000000}

PROGRAMS = {
    str(BUSYBOX): "busybox-static",
    "cpio": "cpio",
    "objcopy": "binutils",
    "mformat": "mtools",
    str(STUB): "systemd-boot-efi",
}
"""What the build runs or takes in, and whose it is."""

OS_RELEASE = 'ID=xenops-guest\nNAME="Tiny guest"\nPRETTY_NAME="Tiny guest 1.0 (xenops)"\nVERSION_ID="1.0"\n'

MODULES = {
    "sd_mod": "disks",
    "sr_mod": "CD drives",
    "isofs": "what CDs hold",
    "pvpanic-mmio": "telling the hypervisor of a panic",
    "virtio_scsi": "disks on a SCSI bus",
    "virtio_blk": "disks without a bus",
    "virtio_net": "network interfaces",
    "virtio_balloon": "memory that is given back",
    "virtio_console": "the port of an agent",
    "virtio-rng": "randomness at once",
    "ata_piix": "IDE drives; the cloud kernel has no AHCI",
    "evdev": "the power button's events, as a file",
    "button": "the power button",
    "virtio_mmio": "the door of virtio devices where there is no PCI: last, as the next one",
    "virtio_pci": "the door of all others: last, so that each finds its driver there",
}
"""The kernel modules that are loaded, in this order, each after what it depends on; and what for."""

XEN_MODULES = ("xen-pcifront", "xen-blkfront", "xen-netfront")
"""What is loaded on Xen instead: of the others' devices it has none."""

PARAMETERS = {"scsi_mod": "scan=sync"}
"""How modules are loaded: with a scan at once, the disks are there when the last driver is."""

APPLETS = (
    *("cat", "cttyhack", "dd", "dmesg", "echo", "eject", "free", "grep", "halt", "head", "hexdump", "insmod"),
    *(
        "hostname",
        "ip",
        "ls",
        "lsmod",
        "md5sum",
        "mkdir",
        "mount",
        "nproc",
        "ping",
        "poweroff",
        "ps",
        "reboot",
        "setsid",
    ),
    *("sh", "sleep", "sync", "umount", "uname", "wc"),
)
"""The commands of the guest; its init needs a few, people at its console the others."""


class GuestError(Exception):
    """The guest cannot be built; the sentence says why and what to do."""


def build(directory: Path) -> str:
    """Have a guest of today's ingredients in the directory; answers what was done.

    Needs the network only when no kernel package is kept in the directory.
    """
    refuse_where_it_cannot_work()
    directory = directory.resolve()
    wanted = hash_of_ingredients()
    kept = next((path for path in directory.glob(f"*-{wanted}") if is_whole(path)), None)
    if kept is not None:
        switch(directory, kept.name)
        return f"{kept.name}, as built before"
    directory.mkdir(parents=True, exist_ok=True)
    package = kept_package(directory, "linux-image-*") or download_kernel(directory)
    agent = kept_package(directory, f"{AGENT_PACKAGE}_*") or download(directory, AGENT_PACKAGE)
    with tempfile.TemporaryDirectory(prefix="building-", dir=directory) as scratch:
        built = build_from(package, agent, Path(scratch))
        target = directory / f"{built.name}-{wanted}"
        shutil.rmtree(target, ignore_errors=True)
        built.rename(target)
    switch(directory, target.name)
    return f"{target.name}, built from {package.name}"


def build_from(package: Path, agent: Path, scratch: Path) -> Path:
    """Make the guest's files in a directory that is named after the kernel's version."""
    root = scratch / "root"
    run(["dpkg-deb", "--extract", str(package), str(root)])
    modules = next((root / "lib" / "modules").iterdir())
    tree = scratch / "tree"
    lay_out(tree, modules)
    built = scratch / modules.name
    built.mkdir()
    shutil.copyfile(root / "boot" / f"vmlinuz-{modules.name}", built / "vmlinuz")
    initrd = gzip.compress(archive(tree), compresslevel=1, mtime=0)
    (built / "initrd.gz").write_bytes(initrd)
    more = scratch / "agent-tree"
    lay_out_agent(more, agent, scratch / "agent")
    (built / "initrd-agent.gz").write_bytes(initrd + gzip.compress(archive(more), compresslevel=1, mtime=0))
    make_uefi_disk(built, scratch)
    return built


def refuse_where_it_cannot_work() -> None:
    """Say in words what of the machine does not suit the build."""
    machine = platform.machine()
    if machine != "x86_64":
        raise GuestError(f"the tiny guest is built for x86_64 only, and this machine is {machine}")
    if shutil.which("dpkg-deb") is None:
        raise GuestError(
            "the tiny guest is unpacked from Debian's kernel package, and there is no dpkg-deb here; "
            f"put a kernel and an initramfs with tools/guest-init into var/guest as {' and '.join(FILES)}"
        )
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None and not Path(program).is_file():
            raise GuestError(f"the tiny guest needs {program}; run: apt-get install {package}")
    if b"ld-linux" in BUSYBOX.read_bytes()[:4096]:
        raise GuestError(
            f"{BUSYBOX} needs libraries, the tiny guest has none; run: apt-get install busybox-static"
        )


def hash_of_ingredients() -> str:
    """Changes when a guest of the same kernel must be built anew."""
    content = b"\0".join(path.read_bytes() for path in (INIT, Path(__file__), BUSYBOX, STUB))
    return hashlib.sha256(content).hexdigest()[:12]


def is_whole(build_directory: Path) -> bool:
    """Whether a build has its files."""
    return all((build_directory / name).is_file() for name in FILES)


def kept_package(directory: Path, name: str) -> Path | None:
    """A package of an earlier build; to have a newer one, remove it."""
    return max(directory.glob(f"{name}.deb"), default=None)


def download_kernel(directory: Path) -> Path:
    """Fetch the kernel package that the meta package leads to."""
    return download(directory, META_PACKAGE, through=re.compile(r"Depends: (linux-image-[\w.+-]+)"))


def download(directory: Path, package: str, through: re.Pattern[str] | None = None) -> Path:
    """Fetch a package, or the one that it leads to, by apt's lists or fresh ones of our own."""
    with tempfile.TemporaryDirectory(prefix="downloading-", dir=directory) as scratch:
        place = Path(scratch)
        fetched = fetch(place, [], package, through)
        if fetched is None:
            own_lists = list(lists_of_our_own(place))
            run(["apt-get", *own_lists, "update", "-qq"])
            fetched = fetch(place, own_lists, package, through)
        if fetched is None:
            raise GuestError(
                f"apt-get cannot download {package} for the tiny guest; its words are above; "
                "see that Debian's main archive is in apt's sources and reachable"
            )
        return fetched.rename(directory / fetched.name)


def lists_of_our_own(place: Path) -> Iterator[str]:
    """Options by which apt needs neither root nor what an earlier `apt-get update` left."""
    yield from ("-o", "APT::Sandbox::User=")
    for option, name in (("Dir::State::lists", "lists"), ("Dir::Cache", "cache")):
        (place / name / "partial").mkdir(parents=True)
        yield from ("-o", f"{option}={place / name}")


def fetch(place: Path, options: list[str], package: str, through: re.Pattern[str] | None) -> Path | None:
    """Download a package, or the concrete one that it depends on, into a directory, if apt can."""
    if through is not None:
        depends = subprocess.run(
            ["apt-cache", *options, "depends", package], capture_output=True, text=True, check=False
        )
        found = through.search(depends.stdout)
        if found is None:
            return None
        package = found[1]
    words = ["apt-get", *options, "-o", "APT::Sandbox::User=", "-qq", "download", package]
    subprocess.run(words, cwd=place, check=False)
    return next(place.glob(f"{package}_*.deb"), None)


def lay_out(tree: Path, modules: Path) -> None:
    """Make the initramfs as a directory."""
    for name in ("bin", "sbin", "dev", "etc", "proc", "sys", "modules", "tmp"):
        (tree / name).mkdir(parents=True)
    (tree / "etc" / "os-release").write_text(OS_RELEASE)
    shutil.copyfile(BUSYBOX, tree / "bin" / "busybox")
    (tree / "bin" / "busybox").chmod(0o755)
    for applet in APPLETS:
        (tree / "bin" / applet).symlink_to("busybox")
    shutil.copyfile(INIT, tree / "init")
    (tree / "init").chmod(0o755)
    for command in ("poweroff", "reboot"):  # what the kernel runs when the hypervisor asks for it
        (tree / "sbin" / command).write_text(f"#!/bin/sh\nexec /bin/{command} -f\n")
        (tree / "sbin" / command).chmod(0o755)
    available = {module_name(path.stem): path for path in modules.rglob("*.ko")}
    for order, wanted in (("order", tuple(MODULES)), ("order-on-xen", XEN_MODULES)):
        ordered = in_order(wanted, available)
        for path in ordered:
            shutil.copyfile(path, tree / "modules" / path.name)
        lines = [f"{path.name} {PARAMETERS.get(path.stem, '')}".strip() for path in ordered]
        (tree / "modules" / order).write_text("\n".join(lines) + "\n")


def lay_out_agent(tree: Path, package: Path, scratch: Path) -> None:
    """Make what the initramfs has more: the agent, with its libraries as this machine has them."""
    run(["dpkg-deb", "--extract", str(package), str(scratch)])
    (tree / "bin").mkdir(parents=True)
    agent = shutil.copy(scratch / "usr" / "sbin" / "qemu-ga", tree / "bin" / "qemu-ga")
    linked = subprocess.run(["ldd", str(agent)], capture_output=True, text=True, check=False).stdout
    if "not found" in linked:
        raise GuestError(
            f"{package.name} needs libraries that are not here; install them, or remove it to have a newer "
            f"one: {' '.join(line.split()[0] for line in linked.splitlines() if 'not found' in line)}"
        )
    for library in re.findall(r"(/\S+)", linked):
        place = tree / library.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)


def make_uefi_disk(built: Path, scratch: Path) -> None:
    """Make a disk with one file system, in which the firmware finds kernel and initramfs as its default."""
    contents = {".linux": built / "vmlinuz", ".initrd": built / "initrd-agent.gz"}
    for section, words in ((".osrel", OS_RELEASE), (".cmdline", UEFI_CMDLINE)):
        contents[section] = scratch / section
        contents[section].write_text(words)
    options = []
    for section, address in SECTIONS.items():
        options += ["--add-section", f"{section}={contents[section]}"]
        options += ["--change-section-vma", f"{section}={address:#x}"]
    bootable, disk = scratch / "bootx64.efi", built / "uefi.raw"
    run(["objcopy", *options, str(STUB), str(bootable)])
    with disk.open("wb") as file:
        file.truncate(UEFI_DISK_MIB << 20)
    run(["mformat", "-i", str(disk), "-v", "XENOPS", "::"])
    run(["mmd", "-i", str(disk), "::/EFI", "::/EFI/BOOT"])
    run(["mcopy", "-i", str(disk), str(bootable), "::/EFI/BOOT/BOOTX64.EFI"])


def in_order(wanted: tuple[str, ...], available: dict[str, Path]) -> list[Path]:
    """The files of the modules and of all that they depend on, dependencies first, each once."""
    ordered: list[Path] = []
    for name in wanted:
        path = available.get(module_name(name))
        if path is None:
            raise GuestError(f"the kernel package has no module {name}; adapt MODULES in tools/guest.py")
        before = in_order(dependencies(path), available)
        ordered.extend(each for each in [*before, path] if each not in ordered)
    return ordered


def module_name(name: str) -> str:
    """The kernel takes a dash in a module's name for an underscore."""
    return name.replace("-", "_")


def dependencies(module: Path) -> tuple[str, ...]:
    """What a module says in its own file (section .modinfo) that it depends on."""
    found = re.search(rb"\0depends=([^\0]*)\0", module.read_bytes())
    return tuple(found[1].decode().split(",")) if found and found[1] else ()


def archive(tree: Path) -> bytes:
    """The directory as the kernel unpacks it; the same bytes for the same tree."""
    paths = sorted([tree, *tree.rglob("*")])
    for path in paths:
        os.utime(path, (0, 0), follow_symlinks=False)
    names = "\n".join(str(path.relative_to(tree)) for path in paths)
    command = ["cpio", "--create", "--format=newc", "--reproducible", "--owner=0:0", "--quiet"]
    packed = subprocess.run(command, cwd=tree, input=names.encode(), capture_output=True, check=False)
    if packed.returncode:
        raise GuestError(f"cpio cannot pack the initramfs: {packed.stderr.decode().strip()}")
    return packed.stdout


def switch(directory: Path, name: str) -> None:
    """Let the stable names lead to the build, in one step for whoever reads them."""
    link(directory / "current", name)
    for file in FILES:
        link(directory / file, f"current/{file}")


def link(path: Path, target: str) -> None:
    """Make or change a link at once; leave one that is right."""
    if path.is_symlink() and str(path.readlink()) == target:
        return
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(path)


def run(command: list[str]) -> None:
    """Run a step of the build; its failure is the build's."""
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise GuestError(
            f"`{' '.join(command)}` failed with exit code {done.returncode}; its words are above"
        )
