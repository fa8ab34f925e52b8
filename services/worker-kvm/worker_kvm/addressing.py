"""Addressing: which addresses guests' agents are to set, and what is noted when they have."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from engine.hosted.machine import HostedMachine

from worker_kvm.addresses import Order, orders, with_addressed
from worker_kvm.qemu.guest_agent import Told

_LOG = logging.getLogger(__name__)

KeyT = TypeVar("KeyT")
KeyT_contra = TypeVar("KeyT_contra", contravariant=True)


class Orders(Protocol[KeyT_contra]):
    """What agents are to be told, by whatever their domains are known by; safe for any thread."""

    def pending(self, domain: KeyT_contra) -> Sequence[Order]:
        """What the agent of a domain's guest is to do yet."""

    def done(self, domain: KeyT_contra, order: Order) -> None:
        """It has done it."""


class Noted(Protocol):
    """The VMs of a host."""

    def machines(self) -> Sequence[Any]:
        """All of whom something is known."""

    def change(self, vm: str, change: Callable[[Any], Any]) -> Any:
        """Change what is known of one."""


@dataclass(frozen=True, slots=True)
class NotedOrders(Generic[KeyT]):
    """`Orders` by what is noted of a host's domains; `key` is what one is known by."""

    host: Noted
    key: Callable[[Any], KeyT]

    def pending(self, domain: KeyT) -> Sequence[Order]:
        """See `Orders`; a domain that has gone: nothing."""
        for machine in self.host.machines():
            if self._has(machine, domain):
                return list(orders(machine.domain.nics, machine.domain.addressed))
        return []

    def done(self, domain: KeyT, order: Order) -> None:
        """See `Orders`. A domain that has gone meanwhile is of no interest."""

        def noted(machine: HostedMachine[Any, Any, Any]) -> HostedMachine[Any, Any, Any]:
            if not self._has(machine, domain):
                return machine
            now = machine.living()
            return machine.with_domain(addressed=with_addressed(now.addressed, order.addressed, now.nics))

        for machine in self.host.machines():
            if self._has(machine, domain):
                _LOG.info("VIF %s of VM %s has its addresses", order.id.device, machine.id)
                self.host.change(machine.id, noted)

    def _has(self, machine: HostedMachine[Any, Any, Any], domain: KeyT) -> bool:
        return machine.domain is not None and self.key(machine.domain) == domain


def log_faults(domain: object, told: Told, before: Told | None) -> None:
    """What keeps a guest from its addresses is said once, until it is another thing."""
    known = () if before is None else before.faults
    for position, words in told.faults:
        if (position, words) not in known:
            _LOG.warning("domain %s: VIF %d has not got its addresses: %s", domain, position, words)
