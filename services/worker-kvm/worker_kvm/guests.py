"""Guests: what verbs that QEMU's two backends have alike ask of either: its VMs, and their QEMUs."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from engine.hosted.notes import Notes

from worker_kvm.watched import Watched

LiveT = TypeVar("LiveT", bound=Watched)
LiveT_co = TypeVar("LiveT_co", bound=Watched, covariant=True)


class Guests(Notes[Any], Protocol[LiveT_co]):
    """The QEMUs of this host that are ours."""

    def machines(self) -> Sequence[Any]:
        """All VMs of whom something is known."""

    def live(self, vm: str) -> LiveT_co | None:
        """A VM's QEMU; None when there is none."""

    def running(self, vm: str) -> LiveT_co:
        """A VM's QEMU. Errors: `Does_not_exist`, `Domain_not_built`."""


GuestsT = TypeVar("GuestsT", bound=Guests[Any])
