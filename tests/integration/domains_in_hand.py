"""Numbers of domains in hand: no two processes on one network have the same, for taps are named by them."""

import functools
import socket

_PLACES, _NUMBERS = 32, 1000
_LEASES: list[socket.socket] = []
"""Each holds a place until its process ends, whatever way."""


@functools.cache
def first_number() -> int:
    """The first of this process's numbers."""
    for place in range(_PLACES):
        lease = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lease.bind(f"\0xenops-domains-in-hand-{place}")
        except OSError:
            lease.close()
        else:
            _LEASES.append(lease)
            return 1 + place * _NUMBERS
    raise AssertionError(f"more than {_PLACES} processes have domains in hand")
