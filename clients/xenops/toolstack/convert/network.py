"""VIFs: XenAPI's network interfaces as xenops has them. Facts from xapi, xapi_xenops.ml, MD.of_vif."""

from collections.abc import Mapping

from schema.objects.network import LocalNetwork, Network, RemoteNetwork, SriovNetwork
from schema.objects.vif import (
    Autoconf6,
    Dhcp4,
    Disabled,
    Ipv4Configuration,
    Ipv6Configuration,
    Locked,
    LockedAddresses,
    LockingMode,
    PvsProxy,
    PvsServer,
    Static4,
    Static6,
    Unlocked,
    Unspecified4,
    Unspecified6,
    Vif,
)
from schema.wire.types import DeviceId

from xenops.toolstack.convert.passthrough import pci_address
from xenops.toolstack.convert.source import Source
from xenops.toolstack.failure import XenApiFailure
from xenops.toolstack.records import (
    NetworkRecord,
    PciRecord,
    PifMetricsRecord,
    PifRecord,
    PvsProxyRecord,
    PvsServerRecord,
    PvsSiteRecord,
    VifRecord,
    VlanRecord,
    VmRecord,
)


def vif_of(source: Source, vm: VmRecord, ref: str) -> Vif:
    """A VIF as xenops has it.

    Raises:
        XenApiFailure: a record is missing, or an SR-IOV interface has no virtual function reserved.
        RecordError: a record makes no sense.
    """
    vif = source.get(VifRecord, ref)
    network = source.get(NetworkRecord, vif.network)
    pif = local_pif(source, network)
    return Vif(
        id=DeviceId(vm.uuid, vif.device),
        position=int(vif.device),
        mac=vif.mac,
        carrier=_carrier(source, pif),
        mtu=_mtu(vif, network),
        rate=_rate(vif.qos_algorithm_type, vif.qos_algorithm_params),
        backend=backend_of(source, ref, vif),
        other_config=tuple(vif.other_config.items()),
        locking_mode=_locking_mode(vif, network),
        extra_private_keys=(("vif-uuid", vif.uuid), ("network-uuid", network.uuid)),
        ipv4_configuration=_ipv4(vif),
        ipv6_configuration=_ipv6(vif),
        pvs_proxy=_pvs_proxy(source, ref, vif),
        vlan=pif.vlan if pif and pif.vlan >= 0 else None,
        trunks=vif.trunks,
    )


def local_pif(source: Source, network: NetworkRecord) -> PifRecord | None:
    """The PIF by which the site's host is on a network; None for an internal one."""
    pifs = (source.known(PifRecord, ref) for ref in network.pifs)
    return next((pif for pif in pifs if pif and pif.host == source.site.host), None)


def backend_of(source: Source, ref: str, vif: VifRecord) -> Network:
    """What a VIF is connected to: a bridge, another VM's, or a virtual function.

    Raises:
        XenApiFailure: INTERNAL_ERROR, an SR-IOV interface has no virtual function reserved.
    """
    network = source.get(NetworkRecord, vif.network)
    pif = local_pif(source, network)
    if pif and _is_sriov(source, pif):
        reserved = source.known(PciRecord, vif.reserved_pci)
        if reserved is None:
            raise XenApiFailure("INTERNAL_ERROR", f"No reserved_pci for network SR-IOV vif {ref}")
        return SriovNetwork(address=pci_address(reserved.pci_id))
    if "backend_vm" in network.other_config:
        return RemoteNetwork(host=network.other_config["backend_vm"], network=network.bridge)
    return LocalNetwork(bridge=network.bridge)


def _is_sriov(source: Source, pif: PifRecord) -> bool:
    """Whether a PIF's packets go through virtual functions, perhaps in a VLAN on top of them."""
    if pif.sriov_logical_pif_of:
        return True
    vlan = source.known(VlanRecord, pif.vlan_master_of)
    below = source.known(PifRecord, vlan.tagged_pif) if vlan else None
    return below is not None and bool(below.sriov_logical_pif_of)


def _carrier(source: Source, pif: PifRecord | None) -> bool:
    metrics = source.known(PifMetricsRecord, pif.metrics) if pif and source.site.reflects_carrier else None
    return metrics.carrier if metrics else True


def _mtu(vif: VifRecord, network: NetworkRecord) -> int:
    try:
        return int(vif.other_config.get("mtu", network.mtu))
    except ValueError:
        return network.mtu


def _rate(algorithm: str, params: Mapping[str, str]) -> tuple[int, int] | None:
    """Kilobytes a second and microseconds; what cannot be read is no limit, as in xapi."""
    if algorithm != "ratelimit":
        return None
    try:
        rate = int(params["kbps"])
    except (KeyError, ValueError):
        return None
    try:
        return rate, int(params["timeslice_us"])
    except (KeyError, ValueError):
        return rate, 0


def _locking_mode(vif: VifRecord, network: NetworkRecord) -> LockingMode:
    match vif.locking_mode:
        case "network_default":
            return Disabled() if network.default_locking_mode == "disabled" else Unlocked()
        case "locked":
            return Locked(addresses=LockedAddresses(ipv4=vif.ipv4_allowed, ipv6=vif.ipv6_allowed))
        case "unlocked":
            return Unlocked()
        case "disabled":
            return Disabled()


def _ipv4(vif: VifRecord) -> Ipv4Configuration:
    match vif.ipv4_configuration_mode:
        case "None":
            return Unspecified4()
        case "Static":
            return Static4(addresses=vif.ipv4_addresses, gateway=vif.ipv4_gateway or None)
        case "DHCP":
            return Dhcp4()


def _ipv6(vif: VifRecord) -> Ipv6Configuration:
    match vif.ipv6_configuration_mode:
        case "None":
            return Unspecified6()
        case "Static":
            return Static6(addresses=vif.ipv6_addresses, gateway=vif.ipv6_gateway or None)
        case "Autoconf":
            return Autoconf6()


def _pvs_proxy(source: Source, ref: str, vif: VifRecord) -> PvsProxy | None:
    proxies = (source.get(PvsProxyRecord, proxy) for proxy in source.database.refs(PvsProxyRecord.klass))
    site_ref = next((proxy.site for proxy in proxies if proxy.vif == ref), None)
    site = source.known(PvsSiteRecord, site_ref) if site_ref else None
    if site is None:
        return None
    servers = (source.get(PvsServerRecord, server) for server in site.servers)
    found = tuple(
        PvsServer(addresses=server.addresses, first_port=server.first_port, last_port=server.last_port)
        for server in servers
    )
    return site.uuid, found, f"pvs{vif.mac.replace(':', '')}"
