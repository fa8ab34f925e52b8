"""Sleeping: libvirt has a guest's agent send it to sleep, and wakes it."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from virt.spoken import spoken
from virt.values import VirtError

from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.live import Live
from worker_kvm.qemu.agents import AgentMissingError
from worker_kvm.qemu.guest_agent import AgentRefusedError
from worker_kvm.qemu.sleeping import WAKE_TIMEOUT_S


@contextmanager
def ordering(hypervisor: Hypervisor, live: Live) -> Iterator[Callable[[], Future[None]]]:
    """A way to order a guest to sleep, as `put_to_sleep` wants it: libvirt's call waits for the agent."""
    with ThreadPoolExecutor(1, thread_name_prefix="libvirt-sleep") as thread:

        def order() -> Future[None]:
            if not hypervisor.agents.is_there(live.uuid):
                raise AgentMissingError
            return thread.submit(_order, hypervisor, live)

        yield order


def wake(hypervisor: Hypervisor, live: Live) -> None:
    """Wake the guest; it is awake, nothing to do. Errors: `Internal_error` with libvirt's words."""
    if live.asleep:
        with spoken():
            hypervisor.virt.wake(live.uuid)
        live.wait(lambda: not live.asleep, WAKE_TIMEOUT_S)


def _order(hypervisor: Hypervisor, live: Live) -> None:
    try:
        hypervisor.virt.put_to_sleep(live.uuid)
    except VirtError as error:
        raise AgentRefusedError(str(error)) from error
