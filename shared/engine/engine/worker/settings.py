"""Settings: which instance a worker serves, under which name, and where it keeps its own."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bus.crash import CrashPoint
from bus.process import SettingsError, from_environment, read_crash_point
from schema.ids import InstanceName, WorkerName

from engine.hooks import HOOKS_ROOT
from engine.migrate.tls import SYSTEM_TRUST, TlsFiles
from engine.store.choice import XENSTORED_SOCKET, XenstorePlace, is_root, usual_root

TLS_VARIABLES = ("XENOPS_TLS_CA", "XENOPS_TLS_CERTIFICATE", "XENOPS_TLS_KEY")

CAPACITY = 25
"""How many VMs a worker executes at a time, unless told otherwise; as many threads as in the original."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """One worker of one instance. `metadata` should be where a reboot of the host empties it."""

    instance: InstanceName
    name: WorkerName
    state: Path
    metadata: Path | XenstorePlace
    hooks: Path = HOOKS_ROOT
    capacity: int = CAPACITY
    broker: str = ""
    crash: CrashPoint | None = None
    tls: TlsFiles = SYSTEM_TRUST

    @property
    def instances(self) -> tuple[InstanceName, ...]:
        """The one instance, as the bus wants to know it."""
        return (self.instance,)


@dataclass(frozen=True, slots=True)
class WorkerProcessSettings:
    """A worker; what its backend may be told stands beside it in a class of the backend's own."""

    worker: WorkerSettings

    @property
    def broker(self) -> str:
        """The broker's URL."""
        return self.worker.broker

    @property
    def instances(self) -> tuple[InstanceName, ...]:
        """The worker's one instance."""
        return self.worker.instances


def worker_settings(environment: Mapping[str, str]) -> WorkerSettings:
    """The settings of a worker process.

    From those of every process (`bus.process`), `XENOPS_STATE_DIR`, and, if need be, `XENOPS_HOOKS_DIR`,
    `XENOPS_WORKER` (default: the host's name) and `XENOPS_CAPACITY`. `XENOPS_STORE` says where metadata is:
    `files`, below `XENOPS_METADATA_DIR` (default: metadata in the state's), or `xenstore`, below
    `XENOPS_XENSTORE_PATH` (default: /xenops/ and the instance) of the one at `XENOPS_XENSTORE_SOCKET`.
    `XENOPS_TLS_CA` (default: the system's) says whom a migration by https trusts, `XENOPS_TLS_CERTIFICATE`
    and `XENOPS_TLS_KEY` what it shows to a host that asks who comes: three PEM files.

    Raises:
        SettingsError: a variable is missing or makes no sense.
    """
    common = from_environment(environment)
    if len(common.instances) != 1:
        raise SettingsError("XENOPS_INSTANCE names several instances: a worker serves one")
    if not environment.get("XENOPS_STATE_DIR"):
        raise SettingsError("XENOPS_STATE_DIR is not set: name a directory of this worker's own")
    state = Path(environment["XENOPS_STATE_DIR"])
    capacity = environment.get("XENOPS_CAPACITY", str(CAPACITY))
    if not capacity.isdecimal() or int(capacity) < 1:
        raise SettingsError(f"XENOPS_CAPACITY is {capacity!r}: give a number of VMs from 1 on")
    return WorkerSettings(
        instance=common.instances[0],
        name=WorkerName(environment.get("XENOPS_WORKER", socket.gethostname())),
        state=state,
        metadata=_metadata(environment, state, common.instances[0]),
        hooks=Path(environment.get("XENOPS_HOOKS_DIR", HOOKS_ROOT)),
        capacity=int(capacity),
        broker=common.broker,
        crash=read_crash_point(environment),
        tls=_tls(environment),
    )


def _tls(environment: Mapping[str, str]) -> TlsFiles:
    authority, certificate, key = files = [
        Path(environment[name]) if environment.get(name) else None for name in TLS_VARIABLES
    ]
    if (certificate is None) != (key is None):
        raise SettingsError("XENOPS_TLS_CERTIFICATE and XENOPS_TLS_KEY go together: set both")
    found = TlsFiles(authority, certificate, key)
    try:
        found.context(verify=True)
    except OSError as error:
        told = [f"{name}={file}" for name, file in zip(TLS_VARIABLES, files, strict=True) if file]
        raise SettingsError(f"{', '.join(told)}: of no use: {error}") from error
    return found


def _metadata(environment: Mapping[str, str], state: Path, instance: InstanceName) -> Path | XenstorePlace:
    kind = environment.get("XENOPS_STORE", "files")
    if kind == "files":
        return Path(environment.get("XENOPS_METADATA_DIR", state / "metadata"))
    if kind != "xenstore":
        raise SettingsError(f"XENOPS_STORE is {kind!r}: say files or xenstore")
    root = environment.get("XENOPS_XENSTORE_PATH", usual_root(instance))
    if not is_root(root):
        raise SettingsError(
            f"XENOPS_XENSTORE_PATH is {root!r}: give the path of a node, such as /xenops/qemu, of up to 512 "
            "letters, digits, '-', '_', '@' and '/'"
        )
    return XenstorePlace(Path(environment.get("XENOPS_XENSTORE_SOCKET", XENSTORED_SOCKET)), root)
