"""Direct: requests between the services of one host, by Unix sockets instead of the broker."""

from bus.direct.client import DirectClient
from bus.direct.server import DirectServer

__all__ = ["DirectClient", "DirectServer"]
