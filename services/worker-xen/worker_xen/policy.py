"""Policy: how the host places VMs on its NUMA nodes, as its operator has said; outlives the worker."""

import logging
from pathlib import Path

from engine.hosted.records import replace
from schema.fault import internal_error
from schema.objects.host import NumaAffinityPolicy

_LOG = logging.getLogger(__name__)

USUAL = NumaAffinityPolicy.BEST_EFFORT
"""Without a word, as in the original."""


class PolicyFile:
    """The word, in a file of the run directory; safe for any thread."""

    def __init__(self, run: Path) -> None:
        self._path = run / "numa-affinity-policy"

    def read(self) -> NumaAffinityPolicy:
        """The policy. A file that says something else counts as none, which the log tells."""
        try:
            return NumaAffinityPolicy(self._path.read_text())
        except FileNotFoundError:
            return USUAL
        except (OSError, ValueError) as error:
            _LOG.warning("%s cannot be read (%s): the policy is %s", self._path, error, USUAL)
            return USUAL

    def write(self, policy: NumaAffinityPolicy | None) -> None:
        """Have VMs that start from now on placed so; None: as is usual. Errors: `Internal_error`."""
        try:
            replace(self._path, (policy or USUAL).encode())
        except OSError as error:
            raise internal_error(
                f"cannot keep the NUMA affinity policy in {self._path}: {error.strerror}; see to the disk"
            ) from error
