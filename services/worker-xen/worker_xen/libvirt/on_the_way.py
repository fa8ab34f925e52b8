"""On the way: the files of VMs between two hosts, and the pipes through which libvirt reads images."""

from collections.abc import Iterable
from pathlib import Path

from worker_xen.xenlight.machine import Domain


class OnTheWay:
    """Below a directory of ours; each file belongs to one domain."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def leaving(self, domain: Domain) -> Path:
        """Where a domain is saved that goes to another host; it goes with what is noted of the domain."""
        return self._file(f"{domain.uuid}.leaving")

    def coming(self, domain: Domain) -> Path:
        """Where one that comes is until it is there; the host that it comes from may be this one."""
        return self._file(f"{domain.uuid}.coming")

    def pipe(self, domain: Domain) -> Path:
        """Through which libvirt reads an image."""
        return self._file(domain.life)

    def forget(self, domain: Domain | None) -> None:
        """What a domain was saved to goes, if it is ours; an image of its owner's stays."""
        if domain is not None and domain.saving is not None:
            path = Path(domain.saving)
            if path.parent == self._directory:
                path.unlink(missing_ok=True)

    def tidy(self, domains: Iterable[Domain]) -> None:
        """What a worker left that died, and nobody goes on with, is not kept."""
        kept = {domain.saving for domain in domains}
        for path in self._directory.glob("*"):
            if str(path) not in kept:
                path.unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        return self._directory / name
