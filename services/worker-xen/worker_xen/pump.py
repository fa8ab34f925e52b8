"""Pump: carries bytes between a library of Xen's, which wants an open file, and a suspend image."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

CHUNK_BYTES = 1 << 20
"""What is carried at once, at most."""

Progress = Callable[[int], None]
"""Told how many bytes have come by."""


class Pump:
    """Carries in a thread, through a pipe whose end `file` is the library's.

    `error` is what kept it from going on; the library then finds its end of the pipe closed.
    """

    def __init__(self, carry: Callable[[int], None], *, to_library: bool) -> None:
        ends = os.pipe()
        self.file, self._own = (ends[0], ends[1]) if to_library else (ends[1], ends[0])
        self._carry = carry
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="xen-image")
        self._thread.start()

    def close(self) -> None:
        """The library has done with it: wait for the rest."""
        with suppress(OSError):
            os.close(self.file)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._carry(self._own)
        except Exception as error:  # noqa: BLE001  a thread's top: whoever closes tells
            self.error = error
        finally:
            os.close(self._own)


@contextmanager
def pumped(carry: Callable[[int], None], *, to_library: bool) -> Iterator[int]:
    """The library's file while inside; afterwards all has been carried.

    Raises:
        Exception: what the pump has met, unless it is but the end of a library that has failed for itself.
    """
    pump = Pump(carry, to_library=to_library)
    try:
        yield pump.file
    except BaseException as error:
        pump.close()
        if pump.error is not None and not isinstance(pump.error, OSError):
            raise pump.error from error
        raise
    pump.close()
    if pump.error is not None:
        raise pump.error


def write_all(target: int, data: bytes | memoryview) -> None:
    """All of it into an open file. Errors: OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]
