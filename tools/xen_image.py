"""The Xen test host's image: Debian's Xen, kernel and a small dom0, built as root and kept by what went in.

`var/xen/current` leads to the directory of one build: `dom0.ext4`, the root file system; `xen`, `vmlinuz` and
`initrd.gz`, which QEMU boots; `key`, by which dom0 lets root in. Nothing is installed on this machine. dom0
has Debian's Xen tools and the Python libraries that the project's lock names; the project itself comes later,
by `tools/xen_sources.py`, with bindings that are compiled here, against Xen's headers and libraries in
`development`.
"""

import gzip
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from guest import GuestError, archive, in_order, link, lists_of_our_own, module_name, run
from xen_sources import SOURCES

ROOT = Path(__file__).resolve().parent.parent
INIT = Path(__file__).with_name("xen-host-init")
LOCK = ROOT / "requirements.lock"
BUSYBOX = Path("/bin/busybox")
SUITE = "bookworm"
FILES = ("dom0.ext4", "xen", "vmlinuz", "initrd.gz", "key", "development/include/libxl.h")

PACKAGES = (
    *("xen-utils-4.17", "xen-utils-common", "xenstore-utils", "libxen-dev", "qemu-system-xen"),
    *("python3", "kmod", "iproute2", "bridge-utils", "procps", "util-linux"),
    *("nftables", "busybox-static", "openssh-server", "pciutils", "e2fsprogs", "qemu-utils"),
    "grub-pc-bin",
    *("libvirt-daemon", "libvirt-daemon-driver-xen", "libvirt-clients", "python3-libvirt"),
    *("systemd-sysv", "udev"),
)
"""What dom0 has of Debian; its kernel and the hypervisor, which QEMU boots, are unpacked beside."""

KEPT = 2
"""Images: one has 0.4 GB, and who goes back to the commit before does not wait."""

UNREAD = ("man", "locale", "doc", "iso-codes", "icons")
"""What is left out of packages, by its place in /usr/share."""

KERNEL, HYPERVISOR = "linux-image-amd64", "xen-hypervisor-4.17-amd64"

MODULES = (
    *("virtio_pci", "virtio_blk", "virtio_net", "crc32c_generic", "ext4", "loop", "bridge", "tun", "e1000"),
    *("xenfs", "xen-privcmd", "xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-blkback", "xen-netback"),
    *("xen-pciback", "xhci_pci", "usbhid"),
    *("nf_tables", "nft_limit"),
)
"""What dom0's kernel can load; the ones that its initramfs needs come first."""

FIRST_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")

LIBRARIES_OF = (
    *("shared/schema", "shared/bus", "shared/traces", "shared/engine", "shared/virt"),
    *("services/worker-xen", "clients"),
)
"""The project's packages whose libraries dom0 has; pytest comes with them."""

OF_DEBIAN = {"libvirt-python>=9.0"}
"""What dom0 has of Debian instead, built for its libvirt."""

PYTHON = "usr/lib/python3.11"
SITE = "opt/xenops/libraries"
LIBRARIES_FILE = "/usr/lib/python3/dist-packages/xenops.pth"
"""By which dom0's Python finds them, and the project's sources."""

SIZE_MIB = 1536
"""Of dom0's root file system, most of it empty and not written."""

FIRST_INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
until [ -b /dev/vda ]; do sleep 0.1; done
mount -t ext4 -o noatime /dev/vda /root
mount --move /dev /root/dev
init=/sbin/xen-host-init
for word in $(cat /proc/cmdline); do
    case "$word" in init=*) init=${word#init=} ;; esac
done
umount /sys /proc
exec switch_root /root "$init"
"""
"""What dom0's initramfs does."""

NETWORK = {
    "eth0.network": "[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n",
    "xenbr0.netdev": "[NetDev]\nName=xenbr0\nKind=bridge\n",
    "xenbr0.network": "[Match]\nName=xenbr0\n[Network]\nConfigureWithoutCarrier=yes\n",
}
"""What dom0 has by systemd, where that is its first process; Debian's own scripts do all that Xen needs."""

CONSOLES = 'XENCONSOLED_ARGS="--log=guest --log-dir=/var/log/xen"\n'
"""What Debian's script is told, so that what guests say can be read."""

SSH = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
UsePAM no
"""


class ElsewhereError(GuestError):
    """No machine of this kind can build or emulate the Xen host."""


def build(directory: Path) -> str:
    """Have an image of today's ingredients in the directory; answers what was done."""
    directory = directory.resolve()
    wanted = hash_of_ingredients()
    kept = next((path for path in directory.glob(f"*-{wanted}") if is_whole(path)), None)
    if kept is not None:
        os.utime(kept)
        link(directory / "current", kept.name)
        return f"{kept.name}, as built before"
    refuse_where_it_cannot_work()
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=directory) as scratch:
        built = build_in(Path(scratch))
        target = directory / f"{built.name}-{wanted}"
        shutil.rmtree(target, ignore_errors=True)
        built.rename(target)
    link(directory / "current", target.name)
    remove_old(directory)
    return f"{target.name}, built"


def remove_old(directory: Path) -> None:
    """Leave those images, and packed Debians, that were built or taken last; machines have theirs open."""
    images = [path.parent for path in directory.glob("*/dom0.ext4") if not path.parent.is_symlink()]
    for kept in (images, [*directory.glob("debian-*.tar")]):
        for old in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
            shutil.rmtree(old) if old.is_dir() else old.unlink()


def hash_of_ingredients() -> str:
    """Changes when an image of the same packages must be built anew; to have newer packages, remove it."""
    names = {normalised(re.split(r"[^\w.-]", library)[0]) for library in libraries()}
    locked = {line.partition("==")[0]: line for line in LOCK.read_text().splitlines() if "==" in line}
    versions = "\n".join(locked[name] for name in sorted(names))
    content = b"\0".join((INIT.read_bytes(), Path(__file__).read_bytes(), versions.encode()))
    return hashlib.sha256(content).hexdigest()[:12]


def normalised(name: str) -> str:
    """A library's name as the lock has it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def libraries() -> list[str]:
    """What dom0 has of the lock, besides what these need themselves."""
    projects = [tomllib.loads((ROOT / name / "pyproject.toml").read_text()) for name in LIBRARIES_OF]
    needed = {name for project in projects for name in project["project"]["dependencies"]}
    return sorted({"pytest", *(name for name in needed - OF_DEBIAN if not name.startswith("xenops-"))})


def is_whole(build_directory: Path) -> bool:
    """Whether a build has its files."""
    return all((build_directory / name).is_file() for name in FILES)


def refuse_where_it_cannot_work() -> None:
    """Say in words what of the machine does not suit the build."""
    if platform.machine() != "x86_64":
        raise ElsewhereError(
            f"the Xen host is built on x86_64 only, and this machine is {platform.machine()}"
        )
    for program, package in (
        ("mmdebstrap", "mmdebstrap"),
        ("dpkg-deb", "dpkg"),
        ("cpio", "cpio"),
        ("mke2fs", "e2fsprogs"),
        ("ssh-keygen", "openssh-client"),
        (str(BUSYBOX), "busybox-static"),
    ):
        if shutil.which(program) is None and shutil.which(program, path="/usr/sbin:/sbin") is None:
            raise GuestError(f"the Xen host's image is made with {program}; run: apt-get install {package}")
    if os.geteuid() != 0:
        raise GuestError(
            "only root can build the Xen host's image, whose files are root's; run: sudo make xen-host"
        )


def build_in(scratch: Path) -> Path:
    """Make the image's files in a directory that is named after Xen's and the kernel's version."""
    packages = scratch / "packages"
    packages.mkdir()
    hypervisor, kernel = download(packages, HYPERVISOR), download(packages, KERNEL)
    run(["dpkg-deb", "--extract", str(hypervisor), str(scratch / "xen")])
    run(["dpkg-deb", "--extract", str(kernel), str(scratch / "kernel")])
    modules = next((scratch / "kernel" / "lib" / "modules").iterdir())
    version = hypervisor.name.split("_")[1].replace("%3a", "").split("+")[0]
    built = scratch / f"{version}-{modules.name}"
    built.mkdir()
    shutil.copyfile(next((scratch / "xen" / "boot").glob("xen-*.gz")), scratch / "xen.gz")
    (built / "xen").write_bytes(gzip.decompress((scratch / "xen.gz").read_bytes()))
    shutil.copyfile(scratch / "kernel" / "boot" / f"vmlinuz-{modules.name}", built / "vmlinuz")
    (built / "initrd.gz").write_bytes(gzip.compress(archive(first_tree(scratch, modules)), 1, mtime=0))
    root = scratch / "root"
    make_debian(scratch.parent, root)
    furnish(root, modules, built)
    keep_for_development(root, built / "development")
    make_file_system(root, built / "dom0.ext4")
    return built


def download(place: Path, package: str) -> Path:
    """Fetch a package, or the kernel behind a meta package, by apt's lists or fresh ones of our own."""
    own_lists = list(lists_of_our_own(Path(tempfile.mkdtemp(dir=place.parent))))
    for options in (own_lists[:2], own_lists):
        if options is own_lists:
            run(["apt-get", *options, "update", "-qq"])
        concrete = package if package != KERNEL else concrete_kernel(options)
        subprocess.run(["apt-get", *options, "-qq", "download", concrete], cwd=place, check=False)
        found = next(place.glob(f"{concrete}_*.deb"), None)
        if found is not None:
            return found
    raise GuestError(
        f"apt-get cannot download {package}; its words are above; see that Debian's main archive of {SUITE} "
        "is in apt's sources and reachable"
    )


def concrete_kernel(options: list[str]) -> str:
    """The package that the kernel's meta package leads to now."""
    command = ["apt-cache", *options, "depends", KERNEL]
    words = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"Depends: (linux-image-[\w.+-]+)", words)
    return found[1] if found else KERNEL


def first_tree(scratch: Path, modules: Path) -> Path:
    """dom0's initramfs as a directory."""
    tree = scratch / "first"
    for name in ("bin", "dev", "proc", "sys", "modules", "root"):
        (tree / name).mkdir(parents=True)
    shutil.copyfile(BUSYBOX, tree / "bin" / "busybox")
    (tree / "bin" / "busybox").chmod(0o755)
    (tree / "init").write_text(FIRST_INIT)
    (tree / "init").chmod(0o755)
    ordered = in_order(FIRST_MODULES, {module_name(path.stem): path for path in modules.rglob("*.ko")})
    for path in ordered:
        shutil.copyfile(path, tree / "modules" / path.name)
    (tree / "modules" / "order").write_text("".join(f"{path.name}\n" for path in ordered))
    return tree


def make_debian(directory: Path, root: Path) -> None:
    """A small Debian from the archives that this machine's apt knows; kept packed, for the next image."""
    kept = directory / f"debian-{hashlib.sha256(' '.join((SUITE, *PACKAGES)).encode()).hexdigest()[:12]}.tar"
    if not kept.exists():
        draft = root.with_name("debian.tar")
        bootstrap(root.parent, draft)
        draft.rename(kept)
    os.utime(kept)
    root.mkdir()
    run(["tar", "--extract", "--numeric-owner", "--xattrs", "--file", str(kept), "--directory", str(root)])


def bootstrap(scratch: Path, target: Path) -> None:
    """The Debian, packed."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    archives = sorted({tuple(line.split()) for line in lines})
    sources = [f"deb {uri} {name} main\n" for uri, name in archives if name.partition("-")[0] == SUITE]
    if not sources:
        raise GuestError(
            f"the Xen host's dom0 is Debian {SUITE}, and this machine's apt knows no archive of it: add one "
            "to apt's sources, and run apt-get update"
        )
    (scratch / "sources.list").write_text("".join(sources))
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in UNREAD]
    valid = subprocess.run(
        ["apt-config", "dump", "Acquire::Check-Valid-Until"], capture_output=True, text=True, check=False
    ).stdout.strip()
    options = [*excluded, "--dpkgopt=force-unsafe-io", *([f"--aptopt={valid}"] if valid else [])]
    included = f"--include={','.join(PACKAGES)}"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", *options, included]
    run([*command, SUITE, str(target), str(scratch / "sources.list")])


def furnish(root: Path, modules: Path, built: Path) -> None:
    """Put into dom0 what makes it this host: modules, both inits, ssh's keys, names, Python's libraries."""
    target = root / "lib" / "modules" / modules.name
    available = {module_name(path.stem): path for path in modules.rglob("*.ko")}
    for path in in_order(MODULES, available):
        place = target / path.relative_to(modules)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(modules / name, target / name)
    run(["chroot", str(root), "depmod", modules.name])
    shutil.copyfile(INIT, root / "sbin" / "xen-host-init")
    (root / "sbin" / "xen-host-init").chmod(0o755)
    for name, content in NETWORK.items():
        (root / "etc" / "systemd" / "network" / name).write_text(content)
    run(["chroot", str(root), "systemctl", "--quiet", "enable", "systemd-networkd"])
    (root / "etc" / "default" / "xen").write_text(CONSOLES)
    (root / "etc" / "hostname").write_text("dom0\n")
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost dom0\n10.0.2.2 host\n")
    let_in(root, built)
    add_python_libraries(root)


def let_in(root: Path, built: Path) -> None:
    """Make a key of this image's own, and let its owner in as root."""
    ssh = root / "etc" / "ssh"
    for path in ssh.glob("ssh_host_*"):
        path.unlink()
    for path in (ssh / "ssh_host_ed25519_key", built / "key"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "xen-host", "-f", str(path)])
    (ssh / "sshd_config").write_text(SSH)
    authorized = root / "root" / ".ssh" / "authorized_keys"
    authorized.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(built / "key.pub", authorized)


def add_python_libraries(root: Path) -> None:
    """The libraries of the lock, for dom0's own Python, compiled; and where the project's sources will be."""
    uv = shutil.which("uv") or str(ROOT / "var" / "uv" / "bin" / "uv")
    platform_ = ["--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"]
    target = ["--target", str(root / SITE), "--constraint", str(LOCK)]
    run(
        [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            sys.executable,
            *platform_,
            *target,
            *libraries(),
        ]
    )
    places = [f"/{SITE}", *(f"{SOURCES}/{name}" for name in LIBRARIES_OF)]
    (root / LIBRARIES_FILE.lstrip("/")).write_text("".join(f"{place}\n" for place in places))
    compiling = ["python3", "-m", "compileall", "-q", "-j", "2", f"/{SITE}", f"/{PYTHON}"]
    subprocess.run(["chroot", str(root), *compiling], check=False)


def keep_for_development(root: Path, place: Path) -> None:
    """What bindings are compiled against, of the very Xen that is in dom0."""
    shutil.copytree(root / "usr" / "include", place / "include")
    (place / "lib").mkdir()
    for library in (root / "usr" / "lib" / "x86_64-linux-gnu").glob("libxen*.so*"):
        shutil.copy(library, place / "lib", follow_symlinks=False)


def make_file_system(root: Path, image: Path) -> None:
    """The tree as one sparse file."""
    with image.open("wb") as file:
        file.truncate(SIZE_MIB << 20)
    options = ["-O", "^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0"]
    run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", *options, "-d", str(root), str(image)])
