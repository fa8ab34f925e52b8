"""Socket directories: where libvirt's QEMUs, which may have another user, find the sockets of tunnels."""

import os
import stat
from pathlib import Path

from virt.connection import Connection
from virt.handover import Sockets
from virt.xml import parsed

_ROOT, _ROOT_LABEL = (0, 0), "+0:+0"


class SocketDirectories:
    """One for each domain, below a worker's run directory; `virt` tells whose QEMUs are."""

    def __init__(self, run: Path, virt: Connection) -> None:
        self._run, self._virt = run, virt
        self._ways = run / "ways"

    def sockets(self, domid: int) -> Sockets:
        """Where a domain comes in and goes out."""
        return Sockets(self._ways / str(domid) / "state", self._ways / str(domid) / "disks")

    def make(self, domid: int) -> bool:
        """Make a domain's. Answers whether its QEMU gets there: all above must let it through.

        Errors: `VirtError`.
        """
        owner, directory = self.owner(), self._ways / str(domid)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if owner == _ROOT:
            return True
        for ours in (self._run, self._ways):
            ours.chmod(stat.S_IMODE(ours.stat().st_mode) | stat.S_IXOTH)
        os.chown(directory, *owner)
        return all(above.stat().st_mode & stat.S_IXOTH for above in directory.absolute().parents)

    def owner(self) -> tuple[int, int]:
        """As whom libvirt runs QEMU, user and group. Errors: `VirtError`."""
        label = _ROOT_LABEL
        for model in parsed(self._virt.capabilities()).findall("./host/secmodel"):
            if model.findtext("model") == "dac":
                label = model.findtext("baselabel") or _ROOT_LABEL
        user, _, group = label.replace("+", "").partition(":")
        return int(user), int(group)

    def clear(self, domid: int) -> None:
        """Remove a domain's; there is none, nothing to do."""
        directory = self._ways / str(domid)
        if directory.exists():
            for path in directory.iterdir():
                path.unlink(missing_ok=True)
            directory.rmdir()
