"""Network interfaces as XenAPI describes them, and what they are connected to."""

from typing import ClassVar, Literal

from pydantic import Field

from xenops.toolstack.records.scalars import NULL, Record, Ref, Strings


class VifRecord(Record):
    """`VIF`."""

    klass: ClassVar[str] = "VIF"

    vm: Ref = Field(default=NULL, alias="VM")
    network: Ref
    device: str = Field(pattern=r"^\d+$")
    mac: str = Field(alias="MAC")
    mtu: int = Field(default=1500, alias="MTU")
    other_config: Strings = Field(default={})
    currently_attached: bool = False
    qos_algorithm_type: str = ""
    qos_algorithm_params: Strings = Field(default={})
    locking_mode: Literal["network_default", "locked", "unlocked", "disabled"] = "network_default"
    ipv4_allowed: tuple[str, ...] = ()
    ipv6_allowed: tuple[str, ...] = ()
    ipv4_configuration_mode: Literal["None", "Static", "DHCP"] = "None"
    ipv4_addresses: tuple[str, ...] = ()
    ipv4_gateway: str = ""
    ipv6_configuration_mode: Literal["None", "Static", "Autoconf"] = "None"
    ipv6_addresses: tuple[str, ...] = ()
    ipv6_gateway: str = ""
    reserved_pci: Ref = NULL
    trunks: tuple[int, ...] = ()


class NetworkRecord(Record):
    """`network`."""

    klass: ClassVar[str] = "network"

    bridge: str
    mtu: int = Field(default=1500, alias="MTU")
    other_config: Strings = Field(default={})
    default_locking_mode: Literal["unlocked", "disabled"] = "unlocked"
    pifs: tuple[Ref, ...] = Field(default=(), alias="PIFs")


class PifRecord(Record):
    """`PIF`: a network on one host."""

    klass: ClassVar[str] = "PIF"

    host: Ref = NULL
    vlan: int = Field(default=-1, alias="VLAN")
    metrics: Ref = NULL
    vlan_master_of: Ref = Field(default=NULL, alias="VLAN_master_of")
    sriov_logical_pif_of: tuple[Ref, ...] = Field(default=(), alias="sriov_logical_PIF_of")


class VlanRecord(Record):
    """`VLAN`: one network within another."""

    klass: ClassVar[str] = "VLAN"

    tagged_pif: Ref = Field(default=NULL, alias="tagged_PIF")


class PifMetricsRecord(Record):
    """`PIF_metrics`."""

    klass: ClassVar[str] = "PIF_metrics"

    carrier: bool = True


class PvsProxyRecord(Record):
    """`PVS_proxy`: a VIF whose disk is streamed."""

    klass: ClassVar[str] = "PVS_proxy"

    vif: Ref = Field(default=NULL, alias="VIF")
    site: Ref = NULL
    currently_attached: bool = False


class PvsSiteRecord(Record):
    """`PVS_site`."""

    klass: ClassVar[str] = "PVS_site"

    servers: tuple[Ref, ...] = ()


class PvsServerRecord(Record):
    """`PVS_server`."""

    klass: ClassVar[str] = "PVS_server"

    addresses: tuple[str, ...] = ()
    first_port: int
    last_port: int
