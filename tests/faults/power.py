"""Power: a disk of its own for a broker, which can lose its power: what the host had not written is gone."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIZE_BYTES = 400_000_000
_PATIENCE_S = 120.0
_POLL_S = 0.05


class Disk:
    """An ext4 in a file, mounted; what of it is in the file is what a disk would have."""

    def __init__(self, place: Path) -> None:
        self._image = place / "disk"
        self.mount = place / "mnt"

    def make(self) -> None:
        """An empty one, mounted."""
        with self._image.open("wb") as file:
            file.truncate(_SIZE_BYTES)
        _run("mkfs.ext4", "-q", str(self._image))
        self.mount.mkdir()
        self._mount()

    def write_through(self) -> None:
        """From now on all that is written below is on the disk when the call that writes it is done."""
        _run("chattr", "+S", str(self.mount))

    @contextmanager
    def power_failure(self) -> Iterator[None]:
        """What the disk has now is what is there afterwards; end meanwhile whoever uses it."""
        kept = self._image.with_name("kept")
        shutil.copyfile(self._image, kept)
        yield
        self._unmount()
        kept.replace(self._image)
        self._mount()

    def unmake(self) -> None:
        """Unmount it."""
        self._unmount()

    def _unmount(self) -> None:
        """Once nobody uses it: the helpers of a broker that was killed end a moment after it."""
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                _run("umount", str(self.mount))
            except OSError as error:
                if "busy" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(_POLL_S)
            else:
                return

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.mount))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)} failed: {done.stderr.strip()}")
