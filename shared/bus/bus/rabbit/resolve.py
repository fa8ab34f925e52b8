"""Resolve: a host's addresses, looked up by a thread that nobody has to wait for.

uvloop's own lookups cannot be given up: a loop does not close before they have ended, which takes as long as
the name service is waited for, and a program that ends meanwhile ends by a segmentation fault (seen with
uvloop 0.23, where the name was that of a container that is gone).
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

Lookup = Callable[[], list[Any]]


async def addresses_of(lookup: Lookup, patience_s: float) -> list[Any]:
    """What `lookup`, a call of `socket.getaddrinfo`, says in that time, in seconds.

    Raises:
        TimeoutError: nothing; the lookup goes on, and nobody hears what comes of it.
        OSError: the name service has refused.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Any]] = loop.create_future()

    def settle(outcome: list[Any] | OSError) -> None:
        if found.done():
            return
        if isinstance(outcome, OSError):
            found.set_exception(outcome)
        else:
            found.set_result(outcome)

    def look_up() -> None:
        try:
            outcome: list[Any] | OSError = lookup()
        except OSError as error:
            outcome = error
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    async with asyncio.timeout(patience_s):
        return await found
