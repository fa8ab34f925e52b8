"""MAC: the addresses of interfaces that come without one."""

import hashlib
import secrets

from schema.fault import internal_error
from schema.objects.vif import Vif

POSITION_MAX = 4_095
"""The last place for which an address is derived: each costs two hashes more than the one before, 5 ms here,
and no guest has as many interfaces."""


def with_mac(vif: Vif) -> Vif:
    """An address for an interface that has none: always the same for the same place, or by chance.

    Errors: `Internal_error` where none can be derived from its place.
    """
    match vif.mac:
        case "":
            if not 0 <= vif.position <= POSITION_MAX:
                raise internal_error(
                    f"VIF {vif.id.vm}.{vif.id.device} has no address, and none is derived from its position, "
                    f"{vif.position}: give it an address, or a position from 0 to {POSITION_MAX}"
                )
            return vif.model_copy(update={"mac": derived_mac(vif.position, vif.id.vm)})
        case "random":
            return vif.model_copy(update={"mac": local_mac(secrets.token_bytes(6))})
        case _:
            return vif


def derived_mac(position: int, vm: str) -> str:
    """The address that the original derives: MD5 of the VM's id, hashed on twice for each position."""
    digest = vm.encode()
    for _ in range(2 * position + 1):
        digest = _md5(digest)
    again = _md5(digest)
    return local_mac(bytes((*digest[:4], again[1], again[2])))


def local_mac(raw: bytes) -> str:
    """Six bytes as a locally administered unicast address; `fe`, which libvirt keeps for itself, avoided."""
    first = (raw[0] | 0x02) & ~0x01
    first = 0xFD if first == 0xFE else first
    return ":".join(f"{byte:02x}" for byte in (first, *raw[1:]))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
