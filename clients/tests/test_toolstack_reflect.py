"""States of xenops as XenAPI's fields: the VM, what follows from its power state, and its guest."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from schema.objects.vm import Console, ConsoleProtocol, DomainType, VmState
from schema.objects.vm import PowerState as XenopsPowerState
from xenops.toolstack import MemoryDatabase, Site, Source
from xenops.toolstack.records import NULL, PowerState
from xenops.toolstack.reflect import apply, vm_news
from xenops.toolstack.reflect.allowed import allowed_operations
from xenops.toolstack.reflect.guest import guest_metrics
from xenops.toolstack.samples import HOST, sample_pool, sample_vm, vbd_ref, vif_ref, vm_ref

VM = vm_ref(1)
AT = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
RUNNING = VmState(
    power_state=XenopsPowerState.RUNNING,
    domids=(7,),
    consoles=(Console(protocol=ConsoleProtocol.RFB, port=5900, path=""),),
    memory_target=1 << 28,
    memory_actual=0,
    memory_limit=0,
    vcpu_target=2,
    shadow_multiplier_target=1.5,
    rtc_timeoffset="60",
    uncooperative_balloon_driver=False,
    guest_agent=(("data/os_name", "Linux"), ("data/updated", "1")),
    xsdata_state=(("vm-data", "x"),),
    pv_drivers_detected=True,
    last_start_time=1_795_385_700.9,
    hvm=True,
    nomigrate=False,
    nested_virt=True,
    domain_type=DomainType.DOMAIN_HVM,
    featureset="ff",
    numa_optimised=True,
    numa_nodes=1,
    numa_node_memory=((0, 1024),),
)
HALTED = RUNNING.model_copy(
    update={
        "power_state": XenopsPowerState.HALTED,
        "domids": (),
        "consoles": (),
        "domain_type": DomainType.DOMAIN_UNDEFINED,
    }
)
SUSPENDED = HALTED.model_copy(update={"power_state": XenopsPowerState.SUSPENDED})


class World:
    """A VM's records, and what xenops has last said of it."""

    def __init__(self, **vm: Any) -> None:
        self.database = MemoryDatabase(sample_pool())
        self.database.add(sample_vm(1, **{"resident_on": HOST, **vm}))
        self.source = Source(self.database, Site(host=HOST, address="192.0.2.7", cpu_vendor="Acme"))
        self.before: VmState | None = None

    def see(self, now: VmState | None) -> tuple[bool, bool]:
        """Xenops says this; answers whether the VM is to be pulled and forgotten."""
        news = vm_news(self.source, VM, self.before, now, at=AT)
        apply(self.database, news.changes)
        self.before = now
        return news.pull, news.forget

    @property
    def vm(self) -> Mapping[str, Any]:
        return self.database.fields("VM", VM)

    def of(self, klass: str, field: str) -> Mapping[str, Any]:
        return self.database.fields(klass, self.vm[field])


def test_a_running_vm_is_in_all_its_fields() -> None:
    world = World(metrics=NULL)
    assert world.see(RUNNING) == (False, False)
    assert (world.vm["power_state"], world.vm["domid"]) == ("Running", "7")
    assert world.vm["platform"]["timeoffset"] == "60"
    assert world.vm["platform"]["acpi"] == "1"
    assert world.vm["xenstore_data"] == {"vm-data": "x"}
    assert world.vm["HVM_shadow_multiplier"] == 1.5
    assert world.vm["last_boot_CPU_flags"] == {"vendor": "Acme", "features": "ff"}
    assert world.vm["memory_target"] == str(1 << 28)
    metrics = world.of("VM_metrics", "metrics")
    assert metrics["start_time"] == "20261122T22:15:00Z"
    assert (metrics["current_domain_type"], metrics["VCPUs_number"]) == ("hvm", "2")
    assert (metrics["hvm"], metrics["nested_virt"], metrics["nomigrate"]) == (True, True, False)
    assert (metrics["numa_nodes"], metrics["numa_node_memory"]) == ("1", {"0": "1024"})
    guest = world.of("VM_guest_metrics", "guest_metrics")
    assert (guest["os_version"], guest["PV_drivers_detected"]) == ({"name": "Linux"}, True)
    [console] = world.vm["consoles"]
    fields = world.database.fields("console", console)
    assert (fields["protocol"], fields["port"]) == ("rfb", "5900")
    assert fields["location"] == f"https://192.0.2.7/console?uuid={world.vm['uuid']}"
    assert "suspend" in world.vm["allowed_operations"]


def test_a_field_that_has_not_changed_in_xenops_is_left_as_clients_wrote_it() -> None:
    world = World()
    world.see(RUNNING)
    world.database.update("VM", VM, {"xenstore_data": {"mine": "1"}})
    world.see(RUNNING.model_copy(update={"memory_target": 5}))
    assert (world.vm["xenstore_data"], world.vm["memory_target"]) == ({"mine": "1"}, "5")


def test_a_halted_vm_is_nowhere_and_all_its_devices_are_detached() -> None:
    world = World(VGPUs=["OpaqueRef:vgpu"], VUSBs=["OpaqueRef:vusb"], attached_PCIs=["OpaqueRef:pci", "gone"])
    world.database.add(
        {
            "VGPU": {"OpaqueRef:vgpu": {"uuid": "g", "currently_attached": True, "PCI": "OpaqueRef:pci"}},
            "VUSB": {"OpaqueRef:vusb": {"uuid": "u", "currently_attached": True}},
            "PCI": {"OpaqueRef:pci": {"uuid": "p", "pci_id": "0000:03:00.0", "attached_VMs": [VM, "other"]}},
        }
    )
    for klass, ref in (("VBD", vbd_ref(1)), ("VIF", vif_ref(1))):
        world.database.update(klass, ref, {"currently_attached": True})
    world.see(RUNNING)
    assert world.see(HALTED) == (False, True)
    assert (world.vm["power_state"], world.vm["domid"], world.vm["resident_on"]) == ("Halted", "-1", NULL)
    assert (world.vm["consoles"], world.vm["attached_PCIs"]) == ([], [])
    for klass, ref in (
        ("VBD", vbd_ref(1)),
        ("VIF", vif_ref(1)),
        ("VGPU", "OpaqueRef:vgpu"),
        ("VUSB", "OpaqueRef:vusb"),
    ):
        assert not world.database.fields(klass, ref)["currently_attached"]
    assert world.database.fields("PCI", "OpaqueRef:pci")["attached_VMs"] == ["other"]
    assert world.of("VM_metrics", "metrics")["current_domain_type"] == "unspecified"
    assert world.database.refs("console") == ()


def test_a_suspended_vm_keeps_its_devices_and_its_domain_type() -> None:
    world = World()
    world.database.update("VBD", vbd_ref(1), {"currently_attached": True})
    world.see(RUNNING)
    assert world.see(SUSPENDED) == (True, False)
    assert (world.vm["power_state"], world.vm["resident_on"]) == ("Suspended", NULL)
    assert world.database.fields("VBD", vbd_ref(1))["currently_attached"]
    assert world.of("VM_metrics", "metrics")["current_domain_type"] == "hvm"


def test_an_undefined_domain_type_of_a_vm_that_runs_says_nothing() -> None:
    world = World()
    world.see(RUNNING)
    world.see(RUNNING.model_copy(update={"domain_type": DomainType.DOMAIN_UNDEFINED}))
    assert world.of("VM_metrics", "metrics")["current_domain_type"] == "hvm"


@pytest.mark.parametrize(("known", "found"), [("Running", "Halted"), ("Suspended", "Suspended")])
def test_a_vm_that_xenops_does_not_know_runs_no_more(known: str, found: str) -> None:
    world = World(power_state=known)
    assert world.see(None) == (False, False)
    assert world.vm["power_state"] == found


def test_consoles_come_and_go_by_their_protocol() -> None:
    world = World(consoles=["OpaqueRef:gone"])
    world.see(RUNNING)
    [rfb] = world.vm["consoles"]
    text = Console(protocol=ConsoleProtocol.VT100, port=0, path="/dev/pts/1")
    world.see(RUNNING.model_copy(update={"consoles": (*RUNNING.consoles, text)}))
    assert world.vm["consoles"][0] == rfb
    assert len(world.vm["consoles"]) == 2
    world.see(RUNNING.model_copy(update={"consoles": (text,)}))
    assert world.database.fields("console", world.vm["consoles"][0])["protocol"] == "vt100"


def test_the_start_time_never_goes_back() -> None:
    world = World()
    world.see(RUNNING)
    world.see(RUNNING.model_copy(update={"last_start_time": 5.0}))
    assert world.of("VM_metrics", "metrics")["start_time"] == "20261122T22:15:00Z"


def test_free_memory_is_no_news_of_the_guest() -> None:
    world = World()
    world.see(RUNNING)
    world.database.update("VM_guest_metrics", world.vm["guest_metrics"], {"last_updated": "then"})
    agent = {"data/os_name": "Linux", "data/updated": "2", "data/meminfo_free": "9"}
    world.see(RUNNING.model_copy(update={"guest_agent": tuple(agent.items())}))
    assert world.of("VM_guest_metrics", "guest_metrics")["last_updated"] == "then"
    agent["data/os_name"] = "Plan 9"
    world.see(RUNNING.model_copy(update={"guest_agent": tuple(agent.items())}))
    assert world.of("VM_guest_metrics", "guest_metrics")["os_version"] == {"name": "Plan 9"}


AGENT = {
    "attr/PVAddons/MajorVersion": "9",
    "drivers/0": "XenServer XENBUS 9.1.9.105 ",
    "drivers/1": "broken",
    "drivers/x": "XenServer XENVBD 1 ",
    "drivers/2": "Acme XENVIF 9.1",
    "data/os_name": "Windows",
    "attr/os/spmajor": "1",
    "data/host_name_dns": "web1",
    "data/domain": "example.org",
    "data/ts": "1",
    "data/cant_suspend_reason": "busy",
    "control/feature-suspend": "1",
    "control/feature-shutdown": "1",
    "feature/hotplug/vbd": "1",
    "feature/hotplug/vif": "0",
    "data/service/db/status": "up",
    "data/pvs_target/target_software_version": "7",
    "attr/vif/0/ipv4/0": "192.0.2.1",
    "attr/vif/0/ipv4/1": "192.0.2.2",
    "attr/vif/0/ipv6/0": "2001:db8::1",
    "attr/vif/0/ipv4/x": "no number",
    "xenserver/attr/net-sriov-vf/1/ipv4/0": "192.0.2.3",
    "attr//empty": "",
}


def test_all_that_an_agent_says_has_its_place() -> None:
    found = guest_metrics(AGENT)
    assert found["PV_drivers_version"] == {
        "micro": "-1",
        "major": "9",
        "xenbus": "XenServer 9.1.9.105 ",
        "xenvif": "Acme 9.1 ",
    }
    assert found["os_version"] == {"name": "Windows", "spmajor": "1"}
    assert found["netbios_name"] == {"host_name": "web1.example.org"}
    assert found["networks"] == {
        "0/ip": "192.0.2.1",
        "0/ipv4/0": "192.0.2.1",
        "0/ipv4/1": "192.0.2.2",
        "0/ipv6/0": "2001:db8::1",
        "1/ip": "192.0.2.3",
        "1/ipv4/0": "192.0.2.3",
    }
    assert found["other"] == {"data-cant-suspend-reason": "busy", "feature-shutdown": "1", "data-ts": "1"}
    assert found["services"] == {"db/status": "up", "pvs_target/target_software_version": "7"}
    assert (found["can_use_hotplug_vbd"], found["can_use_hotplug_vif"]) == ("yes", "no")


def test_an_older_agent_tells_addresses_by_interface() -> None:
    agent = {
        "attr/eth0/ip": "192.0.2.1",
        "attr/eth0/ipv6/0/addr": "2001:db8::1",
        "attr/eth0/ipv6/1/else": "",
        "attr/ens1/mac": "02:00:00:00:00:01",
        "attr/os/spmajor": "1",
        "data/host_name_dns": "web1",
    }
    found = guest_metrics(agent)
    assert found["networks"] == {"0/ip": "192.0.2.1", "0/ipv4/0": "192.0.2.1", "0/ipv6/0": "2001:db8::1"}
    assert found["netbios_name"] == {"host_name": "web1"}
    assert found["can_use_hotplug_vbd"] == "unspecified"


def test_an_agent_that_says_nothing_says_nothing() -> None:
    found = guest_metrics({})
    assert (found["PV_drivers_version"], found["netbios_name"], found["other"]) == ({}, {}, {})


@pytest.mark.parametrize("state", PowerState)
def test_what_is_allowed_depends_on_the_power_state_and_on_what_is_under_way(state: PowerState) -> None:
    allowed = allowed_operations(state, {})
    assert ("start" in allowed) == (state is PowerState.HALTED)
    assert ("resume" in allowed) == (state is PowerState.SUSPENDED)
    assert "snapshot" in allowed
    assert allowed_operations(state, {"OpaqueRef:task": "start"}) == []
