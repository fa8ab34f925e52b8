"""Settings: what of the worker on KVM may be chosen, besides what every worker is told."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, get_args

from bus.process import SettingsError
from engine.hosted.storage.choice import NO_STORAGE, StorageChoice, storage_choice
from engine.worker.settings import WorkerProcessSettings, worker_settings

AcceleratorChoice = Literal["auto", "kvm", "tcg"]
NetworkChoice = Literal["bridge", "user"]

LIBVIRT_URI = "qemu:///system"
"""Libvirt of the host, unless told otherwise."""

LIBVIRT_LOGS = Path("/var/log/libvirt/qemu")
"""Where that has what QEMU says."""


class BackendName(StrEnum):
    """What runs QEMU: we ourselves, or libvirt."""

    QEMU = "qemu"
    LIBVIRT = "libvirt"


RUN_PATH_BYTES_MAX = 80
"""Sockets live below it, and the path of a Unix socket ends at 107 bytes."""

MIGRATION_MIB_S_MAX = 1 << 20
"""No network has more, and QEMU's own bound is above it."""

_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Settings(WorkerProcessSettings):
    """A worker, and how it runs QEMU.

    `namespace` is a network namespace's name, None: the host's own. `storage` has disks named
    `SR/VDI`.
    `migration_mib_s` is what a VM that migrates may send in a second, None: no bound.
    """

    run: Path
    accelerator: AcceleratorChoice = "auto"
    network: NetworkChoice = "bridge"
    namespace: str | None = None
    storage: StorageChoice = NO_STORAGE
    backend: BackendName = BackendName.QEMU
    libvirt_uri: str = LIBVIRT_URI
    libvirt_logs: Path = LIBVIRT_LOGS
    qemu_user: str | None = None
    migration_mib_s: int | None = None


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings of a process: those of every worker (see `engine.worker.settings`), and some of its own.

    `XENOPS_RUN_DIR` is where running VMs have their sockets (default: `run` in the state directory),
    `XENOPS_KVM_ACCELERATOR` is auto, kvm or tcg, `XENOPS_KVM_NETWORK` bridge (taps on bridges that are
    there) or user (QEMU's own network, without any rights), `XENOPS_KVM_NETNS` the network namespace that
    has the bridges. Of disks named `SR/VDI`: see `storage_choice`.

    `XENOPS_KVM_USER` is whom QEMU runs as: a name, or numbers FIRST-LAST, another for each domain.

    `XENOPS_KVM_MIGRATION_MIB_S` is what a migrating VM's memory and each of its disks may take (none: all).

    `XENOPS_BACKEND` is qemu or libvirt: then `XENOPS_LIBVIRT_URI` says which (qemu:///system), and
    `XENOPS_LIBVIRT_LOGS` where its logs of QEMU are (/var/log/libvirt/qemu), by which a guest that ended is
    known to have rebooted; the namespace is the one that libvirtd is in.

    Raises:
        SettingsError: a variable is missing or makes no sense.
    """
    worker = worker_settings(environment)
    return Settings(
        worker=worker,
        run=_run(environment, worker.state),
        accelerator=_accelerator(environment.get("XENOPS_KVM_ACCELERATOR") or "auto"),
        network=_network(environment.get("XENOPS_KVM_NETWORK") or "bridge"),
        namespace=_namespace(environment.get("XENOPS_KVM_NETNS") or None),
        storage=storage_choice(environment),
        backend=_backend(environment.get("XENOPS_BACKEND") or BackendName.QEMU),
        libvirt_uri=environment.get("XENOPS_LIBVIRT_URI") or LIBVIRT_URI,
        libvirt_logs=Path(environment.get("XENOPS_LIBVIRT_LOGS") or LIBVIRT_LOGS),
        qemu_user=_user(environment),
        migration_mib_s=_rate(environment.get("XENOPS_KVM_MIGRATION_MIB_S") or None),
    )


def _run(environment: Mapping[str, str], state: Path) -> Path:
    run = Path(environment.get("XENOPS_RUN_DIR") or state / "run").absolute()
    if len(str(run).encode()) > RUN_PATH_BYTES_MAX:
        raise SettingsError(
            f"the directory for sockets, {run}, is longer than {RUN_PATH_BYTES_MAX} bytes, and sockets in it "
            "could not be opened: set XENOPS_RUN_DIR to a shorter one, as /run/xenops"
        )
    return run


def _namespace(word: str | None) -> str | None:
    if word is not None and not _NAMESPACE.fullmatch(word):
        raise SettingsError(f"XENOPS_KVM_NETNS is {word!r}: give the name of a network namespace")
    return word


def _rate(word: str | None) -> int | None:
    if word is None:
        return None
    is_number = word.isascii() and word.isdecimal() and len(word) <= len(str(MIGRATION_MIB_S_MAX))
    if not (is_number and 1 <= int(word) <= MIGRATION_MIB_S_MAX):
        raise SettingsError(
            f"XENOPS_KVM_MIGRATION_MIB_S is {word!r}: give MiB a second, from 1 to {MIGRATION_MIB_S_MAX}"
        )
    return int(word)


def _user(environment: Mapping[str, str]) -> str | None:
    word = environment.get("XENOPS_KVM_USER") or None
    if word is not None and environment.get("XENOPS_BACKEND") == BackendName.LIBVIRT:
        raise SettingsError("XENOPS_KVM_USER is for XENOPS_BACKEND=qemu: libvirt's is in its qemu.conf")
    return word


def _backend(word: str) -> BackendName:
    if word not in set(BackendName):
        raise SettingsError(_choose("XENOPS_BACKEND", word, tuple(BackendName)))
    return BackendName(word)


def _accelerator(word: str) -> AcceleratorChoice:
    match word:
        case "auto" | "kvm" | "tcg":
            return word
        case _:
            raise SettingsError(_choose("XENOPS_KVM_ACCELERATOR", word, get_args(AcceleratorChoice)))


def _network(word: str) -> NetworkChoice:
    match word:
        case "bridge" | "user":
            return word
        case _:
            raise SettingsError(_choose("XENOPS_KVM_NETWORK", word, get_args(NetworkChoice)))


def _choose(variable: str, word: str, words: tuple[str, ...]) -> str:
    return f"{variable} is {word!r}: choose one of {', '.join(words)}"
