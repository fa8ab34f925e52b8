"""Source: where conversion finds records, and what it must know of the host it converts for."""

from dataclasses import dataclass

from xenops.toolstack.database import Database, read, read_known
from xenops.toolstack.records.scalars import R

KERNEL_DIRECTORIES = ("/var/lib/xcp/guest",)
"""Where kernels and ramdisks of guests may lie; xapi allows no other."""


@dataclass(frozen=True, slots=True)
class Site:
    """One host, as xapi's configuration and database know it.

    `polling_duration` (microseconds) and `polling_idle_threshold` (percent) are xapi's defaults for what a
    VBD does not say. `cpu_mask` is the host's `guest_VCPUs_params:mask`. `featureset` is what a VM that
    starts may see of the CPU; empty: what the worker decides.
    """

    host: str = "OpaqueRef:localhost"
    address: str = "localhost"
    cpu_mask: tuple[int, ...] = ()
    cpu_vendor: str = ""
    featureset: str = ""
    polling_duration: int = 8000
    polling_idle_threshold: int = 50
    kernel_directories: tuple[str, ...] = KERNEL_DIRECTORIES
    filters_platform: bool = True
    reflects_carrier: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Records and site together."""

    database: Database
    site: Site = Site()

    def get(self, model: type[R], ref: str) -> R:
        """A record that must be there; see `read`."""
        return read(self.database, model, ref)

    def known(self, model: type[R], ref: str) -> R | None:
        """A record, or None where the reference leads nowhere."""
        return read_known(self.database, model, ref)
