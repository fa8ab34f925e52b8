"""Atomics on network interfaces: what is set is stored, too, so that the next start has it."""

from schema.atomics.vif import (
    VifAtomic,
    VifMove,
    VifPlug,
    VifSetActive,
    VifSetCarrier,
    VifSetIpv4Configuration,
    VifSetIpv6Configuration,
    VifSetLockingMode,
    VifSetPvsProxy,
    VifSetTrunks,
    VifUnplug,
)
from schema.objects.dynamic import VifObject

from engine.backend import Execution
from engine.perform.context import Context


def perform_on_interface(context: Context, atomic: VifAtomic, execution: Execution) -> None:
    """Perform one; errors are the verb's. Scripts read the store, so it is written before the verb."""
    verbs = context.backend.vif
    table = context.store.vifs
    with context.changing(VifObject, atomic.id) as vm:
        vif = table.read(atomic.id)
        match atomic:
            case VifPlug():
                verbs.plug(execution, vm, vif)
            case VifUnplug(force=force):
                verbs.unplug(execution, vm, vif, force=force)
            case VifSetActive(active=active):
                verbs.set_active(execution, vm, vif, active=active)
            case VifMove(network=network):
                table.write(vif.model_copy(update={"backend": network}))
                verbs.move(execution, vm, vif, network)
            case VifSetCarrier(carrier=carrier):
                table.write(vif.model_copy(update={"carrier": carrier}))
                verbs.set_carrier(execution, vm, vif, carrier=carrier)
            case VifSetLockingMode(locking_mode=mode):
                table.write(vif.model_copy(update={"locking_mode": mode}))
                verbs.set_locking_mode(execution, vm, vif, mode)
            case VifSetPvsProxy(proxy=proxy):
                table.write(vif.model_copy(update={"pvs_proxy": proxy}))
                verbs.set_pvs_proxy(execution, vm, vif, proxy)
            case VifSetIpv4Configuration(configuration=configuration):
                table.write(vif.model_copy(update={"ipv4_configuration": configuration}))
                verbs.set_ipv4_configuration(execution, vm, vif, configuration)
            case VifSetIpv6Configuration(configuration=configuration):
                table.write(vif.model_copy(update={"ipv6_configuration": configuration}))
                verbs.set_ipv6_configuration(execution, vm, vif, configuration)
            case VifSetTrunks(trunks=trunks):
                table.write(vif.model_copy(update={"trunks": trunks}))
                verbs.set_trunks(execution, vm, vif, trunks)
