"""Card: which kind of network card a guest's interfaces are, in QEMU's words."""

from enum import StrEnum

from engine.hosted.machine import HeldNic
from schema.fault import internal_error
from schema.objects.vm import Vm

from worker_kvm.kind import MACHINE_KEY, Kind

CARD_KEY = "nic_type"
"""In a VM's platform data, as xapi writes it: the kind of its network cards."""


class Card(StrEnum):
    """What a network card may be. All but the first are emulated, for guests without virtio's driver."""

    VIRTIO = "virtio"
    E1000 = "e1000"
    E1000E = "e1000e"
    RTL8139 = "rtl8139"


class KvmNic(HeldNic):
    """A VIF that the domain has, and what its guest sees of it."""

    card: Card = Card.VIRTIO
    """Workers before gave no other."""


def card_of(vm: Vm, kind: Kind) -> Card:
    """Which one a VM's interfaces are to be in a machine of that kind.

    Errors: `Internal_error`, its platform names none, or one that such a machine cannot have.
    """
    named = dict(vm.platformdata).get(CARD_KEY, Card.VIRTIO)
    card = card_named(named)
    if card is None:
        cards = ", ".join(Card)
        raise internal_error(
            f"VM {vm.id} has {named!r} as the {CARD_KEY} of its platform: give one of {cards}"
        )
    if kind is Kind.MICROVM and card is not Card.VIRTIO:
        raise internal_error(
            f"VM {vm.id} is a microvm, whose network cards are virtio's, and has {card} as the {CARD_KEY} of "
            f"its platform: leave that out, or give it q35 as the {MACHINE_KEY}"
        )
    return card


def card_named(name: str) -> Card | None:
    """The kind of that name; None: there is none."""
    return Card(name) if name in set(Card) else None
