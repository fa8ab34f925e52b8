"""What a guest's agent is told of addresses."""

import pytest
from engine.conformance.subject import refusal
from schema.ids import DeviceId
from schema.objects.errors import InternalError
from schema.objects.vif import (
    Autoconf6,
    Dhcp4,
    Ipv4Configuration,
    Ipv6Configuration,
    Static4,
    Static6,
    Unspecified4,
    Unspecified6,
    Vif,
)
from worker_xen.xenstore.addresses import address_nodes, addresses_path

MAC = "00:16:3e:00:00:01"


def told(ipv4: Ipv4Configuration | None = None, ipv6: Ipv6Configuration | None = None) -> dict[str, str]:
    vif = Vif(
        id=DeviceId("v1", "2"),
        position=2,
        mac=MAC,
        ipv4_configuration=ipv4 or Unspecified4(),
        ipv6_configuration=ipv6 or Unspecified6(),
    )
    stem = f"{addresses_path(5, 2)}/static-ip-setting/"
    return {node.path.removeprefix(stem): node.value for node in address_nodes(5, vif)}


def test_an_interface_that_is_left_alone_has_nothing_there() -> None:
    assert told() == {}


def test_addresses_are_static_or_the_networks() -> None:
    path = "/local/domain/5/xenserver/device/vif/2"
    common = {path: "", "mac": MAC, "error-code": "0", "error-msg": ""}
    assert told(Static4(addresses=("192.0.2.1/24", "192.0.2.2/24"), gateway="192.0.2.254"), Autoconf6()) == {
        **common,
        "enabled": "1",
        "address": "192.0.2.1/24",
        "gateway": "192.0.2.254",
        "enabled6": "2",
    }
    assert told(Dhcp4(), Static6(addresses=("2001:db8::1/64",), gateway=None)) == {
        **common,
        "enabled": "2",
        "enabled6": "1",
        "address6": "2001:db8::1/64",
    }
    assert told(Dhcp4())["enabled6"] == "0"


@pytest.mark.parametrize("family", [4, 6])
def test_a_static_configuration_without_an_address_is_refused(family: int) -> None:
    def ask() -> object:
        if family == 4:
            return told(Static4(addresses=(), gateway=None))
        return told(ipv6=Static6(addresses=(), gateway=None))

    error = refusal(ask)
    assert isinstance(error, InternalError)
    assert "VIF 2" in error.message
