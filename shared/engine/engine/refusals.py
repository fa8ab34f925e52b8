"""Refusals: what several backends refuse, and in which words."""

import os
from contextlib import suppress
from pathlib import Path

from schema.fault import XenopsError, internal_error, unimplemented
from schema.ids import DeviceId
from schema.objects.errors import DeviceDetachRejected
from schema.objects.network import LocalNetwork, Network
from schema.objects.vif import Unlocked, Vif
from schema.objects.vm import PvDirectBoot, Vm


def dotted(id_: DeviceId) -> str:
    """A device's id as errors have it: `vm.xvda`."""
    return f"{id_.vm}.{id_.device}"


def detach_rejected(klass: str, id_: DeviceId, reason: str) -> XenopsError:
    """What is said of a device that cannot be taken from its guest: `Device_detach_rejected`."""
    return XenopsError(DeviceDetachRejected(klass=klass, id=dotted(id_), reason=reason))


def refuse_unless_there(vm: Vm, boot: PvDirectBoot) -> None:
    """What a VM is built from must be there.

    Errors: `Internal_error` that names the file.
    """
    _refuse_unless_readable(vm, "kernel", boot.kernel)
    if boot.ramdisk is not None:
        _refuse_unless_readable(vm, "ramdisk", boot.ramdisk)


def refuse_restrictions(
    vif: Vif, *, has_rates: bool = True, has_locking: bool = False, has_trunks: bool = False
) -> None:
    """An interface that was to be restricted is not plugged without its restrictions.

    Errors: `Unimplemented`.
    """
    wanted = {
        "a locking mode": not (has_locking or isinstance(vif.locking_mode, Unlocked)),
        "a rate": not (has_rates or vif.rate is None),
        "a PVS proxy": vif.pvs_proxy is not None,
        "a VLAN": vif.vlan is not None or not (has_trunks or not vif.trunks),
    }
    for what, is_wanted in wanted.items():
        if is_wanted:
            raise unimplemented(f"VIF.plug with {what}")


def bridge_of(network: Network) -> str:
    """The bridge of a local network. Errors: `Unimplemented` for other networks."""
    if isinstance(network, LocalNetwork):
        return network.bridge
    raise unimplemented(f"VIF.plug to a {network.kind} network")


def _refuse_unless_readable(vm: Vm, what: str, path: str) -> None:
    reason = "it is no file"
    with suppress(OSError, ValueError):
        if Path(path).is_file():
            if os.access(path, os.R_OK):
                return
            reason = "it cannot be read"
    raise internal_error(f"Cannot build VM {vm.id}: its {what} is {path!r}, and {reason}: see to that file")
