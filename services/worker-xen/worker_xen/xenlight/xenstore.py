"""Xenstore: the few nodes of a domain that libxl has no words for."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from engine.store.choice import XENSTORED_SOCKET
from engine.store.link import Link, LostError, RefusedError, SilentError
from schema.fault import internal_error

T = TypeVar("T")

XSDATA_PREFIXES = ("vm-data", "FIST")
"""Where a client may write for the guest to read; as in the original."""


class Nodes:
    """A domain's nodes; safe for any thread. Errors: `Internal_error`, xenstored does not answer."""

    def __init__(self, socket: Path = XENSTORED_SOCKET) -> None:
        self._socket = socket
        self._lock = threading.Lock()
        self._link: Link | None = None

    def read(self, domid: int, name: str) -> str | None:
        """A node's value; None: there is none."""
        with self._lock:
            value = self._do(lambda link: link.read(f"/local/domain/{domid}/{name}"))
        return None if value is None else value.decode(errors="replace")

    def nic_number(self, domid: int, mac: str) -> int | None:
        """The number that a domain's interface of an address has; None: it has none."""
        stem = f"/local/domain/0/backend/vif/{domid}"

        def find(link: Link) -> int | None:
            for name in link.names(stem) or ():
                found = link.read(f"{stem}/{name}/mac") or b""
                if found.decode(errors="replace").lower() == mac.lower():
                    return int(name)
            return None

        with self._lock:
            return self._do(find)

    def replace_xsdata(self, domid: int, xsdata: dict[str, str]) -> None:
        """Replace what a client has written for the guest; keys elsewhere are left out."""

        def replace(link: Link) -> None:
            for prefix in XSDATA_PREFIXES:
                with suppress(RefusedError):  # there is none
                    link.remove(f"/local/domain/{domid}/{prefix}")
            for key, value in xsdata.items():
                if key.partition("/")[0] in XSDATA_PREFIXES:
                    path = f"/local/domain/{domid}/{key}"
                    link.write(path, value.encode())
                    link.set_permissions(path, ["n0", f"r{domid}"])

        with self._lock:
            self._do(replace)

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            if self._link is not None:
                self._link.close()
                self._link = None

    def _do(self, act: Callable[[Link], T]) -> T:
        """On the connection that there is, or a new one."""
        try:
            if self._link is None:
                self._link = Link(str(self._socket))
            return act(self._link)
        except (LostError, SilentError, RefusedError, OSError) as error:
            if self._link is not None:
                self._link.close()
                self._link = None
            raise internal_error(
                f"xenstored at {self._socket} does not answer: {error}; is it running?"
            ) from error
