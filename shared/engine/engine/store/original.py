"""A tree that the original has written: what it keeps elsewhere is brought to where it is looked for here.

VMs, disks, interfaces, virtual GPUs and USB devices are where we have them; PCI devices have a directory of
their own beside, `PCI/<vm>/pci.<address>`. Here they are with their VM, so that one rename removes it whole.
"""

from contextlib import suppress
from pathlib import Path

from schema.ids import DeviceId

from engine.store.refusals import is_nameable

_PREFIX = "pci."


def adopt_pcis(root: Path) -> None:
    """Move the PCI devices of all VMs that there are; what is there already stays, and strays stay aside."""
    for path in root.glob(f"PCI/*/{_PREFIX}*"):
        vm, device = path.parent.name, path.name.removeprefix(_PREFIX)
        target = root / "VM" / vm / path.name
        if is_nameable(DeviceId(vm, device)) and (target.parent / "config").exists() and not target.exists():
            with suppress(FileNotFoundError):  # another process was faster
                path.rename(target)
            with suppress(OSError):  # there are more of them, or somebody else has removed it
                path.parent.rmdir()
