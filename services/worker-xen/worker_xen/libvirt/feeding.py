"""Feeding: give libvirt a saved domain to read that is described anew, through a named pipe.

Libvirt reads a saved domain from a path alone, and on Xen takes no other description than the one in it.
"""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from virt.seal import SEAL_BYTES

from worker_xen.libvirt.stream import StreamError, head, skip_head

_CHUNK_BYTES = 1 << 20
_LOOK_S = 0.01
"""How often is looked whether somebody reads: who waits for a reader in `open` cannot be stopped."""


class Feed:
    """Writes an image into a pipe, in a thread, while libvirt reads from it."""

    def __init__(self, image: Path, document: str, pipe: Path, progress: Callable[[float], None]) -> None:
        """Make the pipe; `progress` is told how much of the image has been read, 0..1, in that thread."""
        self._image = image
        self._document = document
        self._pipe = pipe
        self._progress = progress
        self._stopped = threading.Event()
        self.error: Exception | None = None
        """What kept it from going on."""
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe, 0o600)
        self._thread = threading.Thread(target=self._run, name="libvirt-feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Break it off: libvirt finds that the image ends too early."""
        self._stopped.set()

    def close(self) -> None:
        """Libvirt reads no more, if ever it did."""
        self._stopped.set()
        self._thread.join()
        self._pipe.unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            reader = self._wait_for_reader()
            if reader is None:
                return
            with reader as pipe, self._image.open("rb") as image:
                length = self._image.stat().st_size - SEAL_BYTES
                skip_head(image)
                pipe.write(head(self._document))
                while not self._stopped.is_set() and (left := length - image.tell()) > 0:
                    chunk = memoryview(image.read(min(left, _CHUNK_BYTES)))
                    while chunk:
                        chunk = chunk[pipe.write(chunk) :]
                    self._progress(image.tell() / length)
        except BrokenPipeError:
            pass  # libvirt says why
        except (OSError, StreamError) as error:
            self.error = error

    def _wait_for_reader(self) -> BinaryIO | None:
        """The pipe, once somebody reads from it; None: nobody did in time."""
        while not self._stopped.is_set():
            try:
                descriptor = os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                self._stopped.wait(_LOOK_S)
            else:
                os.set_blocking(descriptor, True)
                return os.fdopen(descriptor, "wb", buffering=0)
        return None
