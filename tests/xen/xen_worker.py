"""How a site's worker runs in dom0: begun over ssh from the project's sources, or as the package's unit."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from xen_dom0 import Dom0

UNIT = "xenops-worker-xen"
CREDENTIALS = "/etc/xenops/credentials/worker"


class Worker(Protocol):
    """One, whose settings are given once, when it is started."""

    def start(self, settings: Mapping[str, str]) -> None:
        """Start it; returns before it serves."""

    def crash(self) -> None:
        """Kill it; afterwards it comes up anew."""

    def has_ended(self) -> bool:
        """Whether it will not serve any more."""

    def words(self) -> str:
        """What it has logged."""

    def close(self) -> None:
        """End it."""


class SpawnedWorker:
    """It runs from the sources, and ends with its ssh."""

    def __init__(self, dom0: Dom0, log: Path) -> None:
        self._dom0 = dom0
        self._log = log
        self._settings: Mapping[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, settings: Mapping[str, str]) -> None:
        """Start it, or start it anew."""
        self._settings = settings
        words = " ".join(f"{name}={value}" for name, value in settings.items())
        self._process = self._dom0.machine.spawn(f"env {words} python3 -m worker_xen", self._log)

    def crash(self) -> None:
        """Kill it, and start it anew."""
        self._dom0.machine.check("kill -9 $(pgrep -f '[p]ython3 -m worker_xen')")
        if self._process is not None:
            self._process.wait()
        self.start(self._settings)

    def has_ended(self) -> bool:
        """Whether its process has."""
        return self._process is None or self._process.poll() is not None

    def words(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """End it."""
        self._dom0.machine.run("pkill -f '[p]ython3 -m worker_xen'")
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class UnitWorker:
    """The package's, which systemd starts, and starts anew."""

    def __init__(self, dom0: Dom0) -> None:
        self._dom0 = dom0

    def start(self, settings: Mapping[str, str]) -> None:
        """As an administrator does: credentials, settings, the unit enabled; the directory is the unit's."""
        url, its_own = settings["XENOPS_BROKER"], {"XENOPS_BROKER", "XENOPS_STATE_DIR"}
        written = "".join(f"{name}={value}\n" for name, value in settings.items() if name not in its_own)
        self._dom0.machine.check(
            f"mkdir -p {CREDENTIALS} && chmod 700 {CREDENTIALS} && echo '{url}' > {CREDENTIALS}/url && "
            f"cat > /etc/xenops/worker-xen.conf <<'E' && systemctl enable --now {UNIT}\n{written}E"
        )

    def crash(self) -> None:
        """Kill it; systemd starts it anew."""
        before = self.prop("NRestarts")
        self._dom0.machine.check(f"systemctl kill --signal KILL {UNIT}")
        self._dom0.machine.check(
            f'until [ "$(systemctl show --value -p NRestarts {UNIT})" != {before} ]; do sleep 0.2; done'
        )

    def has_ended(self) -> bool:
        """Whether systemd has given it up, or was never to start it."""
        return self.prop("ActiveState") in {"inactive", "failed"}

    def words(self) -> str:
        """Its journal."""
        return self._dom0.machine.check(f"journalctl --output cat --unit {UNIT}")

    def close(self) -> None:
        """Stop it, and have it not started at the next boot."""
        self._dom0.machine.run(f"systemctl disable --now {UNIT}")

    def prop(self, name: str) -> str:
        """What systemd says of the unit."""
        return self._dom0.machine.check(f"systemctl show --value --property {name} {UNIT}").strip()
