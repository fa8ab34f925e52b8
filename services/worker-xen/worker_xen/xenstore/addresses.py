"""Addresses: what a guest's agent finds in xenstore of the addresses that an interface shall have.

Paths, keys and numbers are those of the original, which XenServer's agents for guests know.
"""

from schema.fault import internal_error
from schema.objects.vif import (
    Autoconf6,
    Dhcp4,
    Ipv4Configuration,
    Ipv6Configuration,
    Static4,
    Static6,
    Unspecified4,
    Unspecified6,
    Vif,
)

from worker_xen.xenstore.tree import Node, below, domain_path, owned_by

_LEFT_ALONE, _STATIC, _AUTOMATIC = "0", "1", "2"


def addresses_path(domid: int, position: int) -> str:
    """Where all that is known of one interface's addresses is."""
    return f"{domain_path(domid)}/xenserver/device/vif/{position}"


def address_nodes(domid: int, vif: Vif) -> tuple[Node, ...]:
    """What the agent shall do, and where it answers; nothing for an interface that is left alone.

    Errors: `Internal_error` for a static configuration without an address.
    """
    if isinstance(vif.ipv4_configuration, Unspecified4) and isinstance(vif.ipv6_configuration, Unspecified6):
        return ()
    path = addresses_path(domid, vif.position)
    words = (
        ("mac", vif.mac),
        ("error-code", "0"),
        ("error-msg", ""),
        *_told(vif, "", vif.ipv4_configuration),
        *_told(vif, "6", vif.ipv6_configuration),
    )
    return (Node(path, "", owned_by(domid)), *below(f"{path}/static-ip-setting", words))


def _told(
    vif: Vif, suffix: str, configuration: Ipv4Configuration | Ipv6Configuration
) -> tuple[tuple[str, str], ...]:
    match configuration:
        case Unspecified4() | Unspecified6():
            return ((f"enabled{suffix}", _LEFT_ALONE),)
        case Dhcp4() | Autoconf6():
            return ((f"enabled{suffix}", _AUTOMATIC),)
        case Static4(addresses=addresses, gateway=gateway) | Static6(addresses=addresses, gateway=gateway):
            if not addresses:
                raise internal_error(
                    f"VIF {vif.id.device} is to have a static address, and none is given: give one with its "
                    "prefix, as 192.0.2.1/24"
                )
            way = () if gateway is None else ((f"gateway{suffix}", gateway),)
            return ((f"enabled{suffix}", _STATIC), (f"address{suffix}", addresses[0]), *way)
