"""Logs: what QEMUs say takes a bounded part of the disk, though they outlive whoever could read it."""

import logging
import subprocess
from pathlib import Path

LOG_BYTES_MAX = 1 << 20
"""What a domain's log may take of the disk, as far as we look often enough."""

KEPT_BYTES = 1 << 17
"""What stays of one that took more: its end, with why QEMU or its guest ended."""

_BLOCK_BYTES = 512
"""The unit of st_blocks."""

_PUNCH_TIMEOUT_S = 60.0

_LOG = logging.getLogger(__name__)


def shorten(log: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
    """Give the disk back all but the end of a log that takes too much; what is said meanwhile is not lost.

    A file system that cannot do so loses the log. It is gone already, nothing to do.
    """
    try:
        status = log.stat()
        if status.st_blocks * _BLOCK_BYTES <= bytes_max:
            return
        size = str(max(0, status.st_size - KEPT_BYTES))
        command = ["fallocate", "--punch-hole", "--offset", "0", "--length", size, str(log)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=_PUNCH_TIMEOUT_S)
        if done.returncode:
            with log.open("r+b") as file:
                file.truncate(0)
    except FileNotFoundError:
        pass
    except (OSError, subprocess.TimeoutExpired) as error:
        _LOG.warning("%s takes more than %d bytes: %s", log, bytes_max, error)
