"""Direct: requests between the services of one host, by Unix sockets instead of the broker."""

from bus.direct.guests import Guests
from bus.direct.ways import Ways

__all__ = ["Guests", "Ways"]
