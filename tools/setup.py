"""Set-up: everything that a fresh machine lacks, done once, said aloud. Needs only Python 3.11 and git.

Idempotent: what is there is left alone. Root installs Debian packages; anybody else is told the command, and
everything that needs no root is done all the same.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import guest
import xenstored

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / "xenops-setup.stamp"
UV_ENVIRONMENT = ROOT / "var" / "uv"
UV_VERSION = "0.13.9"

DEBIAN_PYTHON = Path("/usr/bin/python3")
"""What the images and the package run. Debian optimises it by profile, which many that people build for
themselves are not: services take a sixth less of the processor."""

PYTHON_VERSION_MIN = (3, 11)

DEBIAN_PACKAGES = {
    "python3-venv": "the Python environment",
    "gcc": "packages that compile",
    "python3-dev": "packages that compile",
    "rabbitmq-server": "the private broker",
    "qemu-system-x86": "the virtual machines",
    "qemu-utils": "their disk images: qemu-img",
    "busybox-static": "the tiny guest's userland",
    "cpio": "the tiny guest's initramfs",
    "iproute2": "network namespaces for the VMs' bridges: ip",
    "nftables": "what the VMs may send: nft",
    "ovmf": "UEFI for them",
    "swtpm": "virtual TPMs for them",
    "swtpm-tools": "the making of those: swtpm_setup",
    "systemd-boot-efi": "the tiny guest as a file that UEFI boots",
    "mtools": "the disk that that is on",
    "mmdebstrap": "the Xen test host's dom0",
    "openssh-client": "the way into it: ssh",
    "e2fsprogs": "its file system: mke2fs",
    "lz4": "its guests' kernel, unpacked once and not at each start",
    "libvirt-dev": "libvirt's headers, for the Python binding that compiles against them",
    "libvirt-daemon": "the virtual machines of the libvirt backend, for its tests",
    "libvirt-daemon-driver-qemu": "the same: its driver of QEMU",
    "chromium": "the operators' page in a real browser, for its tests",
    "pkg-config": "how that binding finds the headers",
}
"""What is installed from Debian, and what for."""

OWN_PACKAGES = (
    "shared/schema",
    "shared/bus",
    "shared/traces",
    "shared/engine",
    "shared/virt",
    "services/frontend",
    "services/redirector",
    "services/eventhub",
    "services/dashboard",
    "services/worker-sim",
    "services/worker-kvm",
    "services/worker-xen",
    "clients",
    "stack",
    "simulation",
    "testing",
)
"""Every distribution of the project, those first that others need; installed editable."""


class SetupError(Exception):
    """Set-up cannot go on; the sentence says why and what to do."""


def main() -> int:
    """Bring the machine to where `make test` works; answers the exit code.

    A step that cannot be done does not keep the others from being done.
    """
    steps = (install_debian_packages, build_python_environment, build_guest, build_xenstored)
    complaints = [complaint for step in steps if (complaint := attempt(step)) is not None]
    for complaint in complaints:
        print(f"setup: {complaint}", file=sys.stderr)
    print("setup: done" if not complaints else "setup: not all was done")
    return 1 if complaints else 0


def attempt(step: Callable[[], None]) -> str | None:
    """Do a step; answers what kept it from being done."""
    try:
        step()
    except (SetupError, guest.GuestError) as error:
        return str(error)
    return None


def install_debian_packages() -> None:
    """Install what dpkg does not know as installed, or say who must do it how."""
    if shutil.which("dpkg-query") is None:
        raise SetupError(f"this is no Debian; install the equivalents of: {' '.join(DEBIAN_PACKAGES)}")
    missing = [name for name in DEBIAN_PACKAGES if not is_installed(name)]
    if not missing:
        print(f"setup: Debian packages: all {len(DEBIAN_PACKAGES)} there")
        return
    for name in missing:
        print(f"setup: Debian package {name}: missing, needed for {DEBIAN_PACKAGES[name]}")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        raise SetupError(
            f"only root can install packages; run: sudo apt-get update && sudo {' '.join(install)}"
        )
    run(["apt-get", "update", "-qq"])
    run([*install, "-qq", "-o", "Dpkg::Use-Pty=0"])
    print(f"setup: Debian packages: {len(missing)} installed")


def is_installed(package: str) -> bool:
    """Whether dpkg has the package installed and configured."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout == "installed"


def find_uv() -> str:
    """The path of uv: the user's own, or one that we install under var/."""
    own = UV_ENVIRONMENT / "bin" / "uv"
    found = shutil.which("uv")
    if found or own.exists():
        return found or str(own)
    run([sys.executable, "-m", "venv", str(UV_ENVIRONMENT)])
    run([str(UV_ENVIRONMENT / "bin" / "pip"), "install", "--quiet", f"uv=={UV_VERSION}"])
    print(f"setup: uv {UV_VERSION}: installed under var/uv")
    return str(own)


def build_python_environment() -> None:
    """Make `.venv` hold exactly what the lock says and our own packages, editable."""
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted:
        print("setup: Python environment: as locked")
        return
    uv = find_uv()
    if (ENVIRONMENT / "bin" / "python").resolve() != interpreter():
        run([uv, "venv", "--quiet", "--clear", "--python", str(interpreter()), str(ENVIRONMENT)])
    python = str(ENVIRONMENT / "bin" / "python")
    run([uv, "pip", "sync", "--quiet", "--python", python, str(ROOT / "requirements.lock")])
    editable = [word for package in OWN_PACKAGES for word in ("--editable", str(ROOT / package))]
    run([uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--no-build-isolation", *editable])
    STAMP.write_text(wanted)
    print(f"setup: Python environment: {len(OWN_PACKAGES)} packages on the locked libraries in .venv")


def interpreter() -> Path:
    """Whose environment it is: Debian's own Python where that is new enough, else the one that runs this."""
    tell = "import sys; print(*sys.version_info[:2])"
    try:
        told = subprocess.run([DEBIAN_PYTHON, "-c", tell], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return Path(sys.executable).resolve()
    version = tuple(map(int, told.stdout.split()))
    return (DEBIAN_PYTHON if version >= PYTHON_VERSION_MIN else Path(sys.executable)).resolve()


def build_guest() -> None:
    """Have the tiny guest under var/guest, for the tests and the demo."""
    print(f"setup: tiny guest: {guest.build(ROOT / 'var' / 'guest')}")


def build_xenstored() -> None:
    """Have Xen's two xenstoreds under var/xenstored, for the tests, and for a stack with metadata in one."""
    print(f"setup: xenstored: {xenstored.build(ROOT / 'var' / 'xenstored')}")


def fingerprint() -> str:
    """Changes when the environment must be made anew."""
    files = [ROOT / "requirements.lock", *(ROOT / package / "pyproject.toml" for package in OWN_PACKAGES)]
    content = b"\0".join(path.read_bytes() for path in files)
    return hashlib.sha256(content + f"{ROOT}\0{interpreter()}".encode()).hexdigest()


def run(command: list[str]) -> None:
    """Run a step; its failure is set-up's."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise SetupError(
            f"`{' '.join(command)}` failed with exit code {done.returncode}; its words are above"
        )


if __name__ == "__main__":
    sys.exit(main())
