"""Tree: nodes of a xenstore as values, and the paths where Xen's parts look for them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

GUEST = "/local/domain"
BACKENDS = f"{GUEST}/0/backend"
"""All backends are in the control domain."""

ERRORS = f"{GUEST}/0/error/backend"
"""Where their drivers say what went wrong."""

VMS = "/vm"


@dataclass(frozen=True, slots=True)
class Node:
    """A node to be written; `permissions` as the daemon writes them, none: those of the node above it."""

    path: str
    value: str = ""
    permissions: tuple[str, ...] = ()


def domain_path(domid: int) -> str:
    """A domain's own part."""
    return f"{GUEST}/{domid}"


def model_path(domid: int) -> str:
    """Where a domain's device model says how far it is."""
    return f"{GUEST}/0/device-model/{domid}"


def vm_path(uuid: str) -> str:
    """What is known of a VM by its id, whatever its domain."""
    return f"{VMS}/{uuid}"


def readable_by(domid: int) -> tuple[str, ...]:
    """The control domain's, which the guest may read."""
    return ("n0", f"r{domid}")


def owned_by(domid: int) -> tuple[str, ...]:
    """The guest's own."""
    return (f"n{domid}",)


def owned_and_shown(domid: int) -> tuple[str, ...]:
    """The guest's, and read by the control domain's backends."""
    return (f"n{domid}", "r0")


def below(path: str, values: Iterable[tuple[str, object]]) -> Iterator[Node]:
    """Nodes below one, by their names."""
    return (Node(f"{path}/{name}", str(value)) for name, value in values)
