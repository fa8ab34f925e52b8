"""Rules: what the guests of libvirt's domains may send, by nftables on their taps."""

import logging
from collections.abc import Iterable, Iterator

from engine.hosted.port_rules import PortRules, port_rules
from schema.fault import internal_error

from worker_kvm.libvirt.machine import Nic
from worker_kvm.network import Network, NetworkError

_LOG = logging.getLogger(__name__)


class Rules:
    """The rules in the network of libvirtd, which is the host's or a namespace's."""

    def __init__(self, namespace: str | None) -> None:
        self._network = Network(namespace)

    def set(self, nics: Iterable[Nic]) -> None:
        """Restrict those that are to be. Errors: `Internal_error`."""
        for rules in restricted(nics):
            self.replace(rules)

    def replace(self, rules: PortRules) -> None:
        """Have a tap let pass what these rules say, whatever it did before. Errors: `Internal_error`."""
        try:
            self._network.set_rules(rules)
        except NetworkError as error:
            raise internal_error(f"Cannot restrict what a VIF may send: {error}") from error

    def clear(self, nics: Iterable[Nic]) -> None:
        """Remove those of interfaces that are gone; what cannot be removed now is at the next start."""
        taps = [rules.tap for rules in restricted(nics)]
        if taps:
            try:
                self._network.clear_rules(*taps)
            except NetworkError as error:
                _LOG.warning("%s", error)

    def find_again(self, nics: Iterable[Nic]) -> None:
        """They outlive a worker; something that flushes all rules may have been here since."""
        try:
            for rules in restricted(nics):
                self._network.set_rules(rules)
            self._network.clear_stale_rules()
        except NetworkError as error:
            _LOG.warning("VIFs may be without their restrictions: %s", error)


def restricted(nics: Iterable[Nic]) -> Iterator[PortRules]:
    """The rules of interfaces, but of those that may send all."""
    for nic in nics:
        if nic.tap is not None:
            rules = port_rules(nic.tap, nic.vif)
            if not rules.is_open:
                yield rules
