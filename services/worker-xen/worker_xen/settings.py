"""Settings: what of the worker on Xen may be chosen, besides what every worker is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bus.process import SettingsError
from engine.hosted.storage.choice import NO_STORAGE, StorageChoice, storage_choice
from engine.worker.settings import WorkerProcessSettings, worker_settings

BINDINGS = Path("/var/cache/xenops/bindings")
"""Where compiled bindings are kept, unless told otherwise."""


USERS = "XENOPS_XEN_USERS"

LIBVIRT_URI = "xen:///system"
"""Which libvirtd, unless told otherwise."""


_USER_MAX = 2**32 - 2


class BackendName(StrEnum):
    """What drives the hypervisor: libxc and xenstore, libxl, or libvirt."""

    CLASSIC = "classic"
    XENLIGHT = "xenlight"
    LIBVIRT = "libvirt"


@dataclass(frozen=True, slots=True)
class Settings(WorkerProcessSettings):
    """A worker, and how it drives Xen."""

    backend: BackendName
    run: Path
    bindings: Path = BINDINGS
    libvirt_uri: str = LIBVIRT_URI
    storage: StorageChoice = NO_STORAGE
    users: tuple[int, int] | None = None
    """As whom classic's device models run: the first and the last number."""


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings of a process: those of every worker (see `engine.worker.settings`), and five of its own.

    `XENOPS_BACKEND` is classic (the default), xenlight or libvirt. `XENOPS_RUN_DIR` is where it is noted
    which domains are whose (default: `run` in the state directory), `XENOPS_XEN_BINDINGS` where the bindings
    to Xen's libraries are kept once they are compiled (default: /var/cache/xenops/bindings),
    `XENOPS_LIBVIRT_URI` which libvirtd drives Xen where libvirt does (default: xen:///system),
    `XENOPS_XEN_USERS` as whom classic's device models run, FIRST-LAST, as 300000-365535 (default: root).
    Of disks named `SR/VDI`: see `storage_choice`.

    Raises:
        SettingsError: a variable is missing or makes no sense.
    """
    worker = worker_settings(environment)
    word = environment.get("XENOPS_BACKEND") or BackendName.CLASSIC
    if word not in set(BackendName):
        raise SettingsError(f"XENOPS_BACKEND is {word!r}: choose one of {', '.join(BackendName)}")
    return Settings(
        worker=worker,
        backend=BackendName(word),
        run=Path(environment.get("XENOPS_RUN_DIR") or worker.state / "run").absolute(),
        bindings=Path(environment.get("XENOPS_XEN_BINDINGS") or BINDINGS).absolute(),
        libvirt_uri=environment.get("XENOPS_LIBVIRT_URI") or LIBVIRT_URI,
        storage=storage_choice(environment),
        users=_users(environment.get(USERS) or ""),
    )


def _users(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) <= _USER_MAX):
        raise SettingsError(f"{USERS} is {text!r}: give numbers of users, FIRST-LAST, as 300000-365535")
    return int(first), int(last)
