"""Execution: what a verb may tell, and must ask, the task that it runs for; and what it is given."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from schema.ids import VmId
from schema.objects.pci import Pci
from schema.objects.vbd import Vbd
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif
from schema.objects.vusb import Vusb


class Execution(Protocol):
    """What a verb may tell, and must ask, the task that it runs for."""

    def check_cancelled(self) -> None:
        """A cancel point: raises `XenopsError(Cancelled(task))` once the task is cancelled or fenced."""

    def cancellable(self, on_cancel: Callable[[], None]) -> AbstractContextManager[None]:
        """While inside, a cancel calls `on_cancel` (from another thread), to end a wait early."""

    def forbid_cancel(self) -> None:
        """From here on a cancel comes too late: a guest that suspends cannot be called back."""

    def stands_still(self) -> None:
        """The guest has stopped, and its state is on its way: what is owed by then can be done meanwhile."""

    def progress(self, fraction: float) -> None:
        """How far this verb has come, 0..1."""

    def wait(self, delay_s: float) -> None:
        """Sleep, and wake up early to raise when cancelled."""


@dataclass(frozen=True, slots=True)
class Devices:
    """All devices of one VM, as configured."""

    vbds: tuple[Vbd, ...] = ()
    vifs: tuple[Vif, ...] = ()
    pcis: tuple[Pci, ...] = ()
    vgpus: tuple[Vgpu, ...] = ()
    vusbs: tuple[Vusb, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """How a domain is created."""

    memory_upper_bound_bytes: int | None = None
    final: VmId | None = None
    no_sharept: bool = False
