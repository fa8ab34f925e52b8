"""Leftovers: interfaces that were taken by force, and that their guest has not let go of yet."""

from schema.fault import internal_error

from worker_kvm.qemu.live import Live

UNPLUG_TIMEOUT_S = 10.0
"""How long a guest may take that was told long ago; a paused one does not answer."""


def clear_port(live: Live, vm: str, port: int, own: str = "") -> None:
    """Wait until nothing but `own` is at a root port: QEMU takes a second device there, and no guest sees it.

    Errors: `Internal_error`, the guest does not let go.
    """
    for left in live.devices():
        if left.startswith(f"nic{port}-") and left != own and not live.remove_device(left, UNPLUG_TIMEOUT_S):
            raise internal_error(
                f"The guest of VM {vm} has not let go yet of the interface that was taken from position "
                f"{port} by force: let it run and try again"
            )
