import json
from pathlib import Path

import pytest
from bus.roles import Role
from stack.layout import Layout
from stack.shape import (
    QEMU_INSTANCE,
    SIMULATOR_INSTANCE,
    WORKER_KVM,
    WORKER_SIM,
    BusKind,
    Network,
    Shape,
    ShapeError,
    StoreKind,
    broker,
    libvirtd,
    load,
    save,
    single,
    xenstored,
)
from worker_kvm.settings import BackendName

BOTH = Shape({WORKER_KVM: QEMU_INSTANCE, WORKER_SIM: SIMULATOR_INSTANCE}, Network.BRIDGE, "tcg")
IN_XENSTORE = Shape(store=StoreKind.XENSTORED)
BY_LIBVIRT = Shape({WORKER_KVM: QEMU_INSTANCE}, Network.BRIDGE, backend=BackendName.LIBVIRT)
GOOD = {"version": 1, "workers": {}, "network": "user", "accelerator": "auto", "bus": "memory"}
LAYOUT = Layout(Path("/somewhere/var/stack"))


def at_broker(role: Role) -> str:
    return f"amqp://{role}@b/"


def test_a_stack_is_the_simulator_unless_told_otherwise() -> None:
    assert Shape().services == ("redirector", "eventhub", "worker-sim", "frontend", "dashboard")
    assert Shape().instances == (SIMULATOR_INSTANCE,)


def test_a_worker_is_told_its_own_instance_and_the_others_all() -> None:
    told = {each.name: each.environment["XENOPS_INSTANCE"] for each in BOTH.processes(LAYOUT, at_broker)}
    assert told[WORKER_KVM] == QEMU_INSTANCE
    assert told[WORKER_SIM] == SIMULATOR_INSTANCE
    assert (
        told["frontend"] == told["eventhub"] == told["redirector"] == f"{QEMU_INSTANCE},{SIMULATOR_INSTANCE}"
    )


def test_two_workers_of_one_instance_make_it_no_second_one() -> None:
    assert Shape({"worker-sim": "one", "worker-kvm": "one"}).instances == ("one",)


def test_every_service_runs_its_own_module_on_the_broker_and_keeps_its_state_apart() -> None:
    found = {each.name: each for each in BOTH.processes(LAYOUT, at_broker)}
    assert found[WORKER_KVM].command[1:] == ("-m", "worker_kvm")
    assert {name: each.environment["XENOPS_BROKER"] for name, each in found.items()} == {
        "redirector": "amqp://redirector@b/",
        "eventhub": "amqp://eventhub@b/",
        "worker-kvm": "amqp://worker@b/",
        "worker-sim": "amqp://worker@b/",
        "frontend": "amqp://frontend@b/",
        "dashboard": "amqp://dashboard@b/",
    }
    assert len({each.environment["XENOPS_STATE_DIR"] for each in found.values()}) == len(found)


def test_the_dashboard_alone_is_told_where_the_page_is_and_who_may_see_it() -> None:
    told = BOTH.environment("dashboard", LAYOUT, at_broker)
    assert told["XENOPS_PAGE_TOKENS"] == str(LAYOUT.tokens)
    assert told["XENOPS_PAGE_URL"] == str(LAYOUT.page_url)
    assert "XENOPS_PAGE_TOKENS" not in BOTH.environment("eventhub", LAYOUT, at_broker)


def test_only_the_worker_on_qemu_is_told_of_networks() -> None:
    told = BOTH.environment(WORKER_KVM, LAYOUT, at_broker)
    assert (told["XENOPS_KVM_NETWORK"], told["XENOPS_KVM_NETNS"]) == ("bridge", LAYOUT.namespace)
    assert told["XENOPS_KVM_ACCELERATOR"] == "tcg"
    assert told["XENOPS_RUN_DIR"] == str(LAYOUT.vms)
    assert "XENOPS_KVM_NETWORK" not in BOTH.environment(WORKER_SIM, LAYOUT, at_broker)
    alone = Shape({WORKER_KVM: QEMU_INSTANCE}, Network.USER).environment(WORKER_KVM, LAYOUT, at_broker)
    assert (alone["XENOPS_KVM_NETWORK"], alone["XENOPS_KVM_NETNS"]) == ("user", "")


def test_the_frontend_alone_is_told_where_its_doors_are() -> None:
    told = {each.name: each.environment for each in BOTH.processes(LAYOUT, at_broker)}
    assert told["frontend"]["XENOPS_SWITCH"] == str(LAYOUT.switch)
    assert told["frontend"]["XENOPS_DOOR"] == str(LAYOUT.door)
    assert told["frontend"]["XENOPS_SOCKETS"] == (
        f"{QEMU_INSTANCE}={LAYOUT.root}/rpc/qemu,{SIMULATOR_INSTANCE}={LAYOUT.root}/rpc/simulator"
    )
    assert [name for name, variables in told.items() if "XENOPS_SWITCH" in variables] == ["frontend"]


def test_nothing_but_the_namespace_is_outside_the_root() -> None:
    paths = [
        *(LAYOUT.broker, LAYOUT.broker_url, LAYOUT.door, LAYOUT.shape, LAYOUT.lock, LAYOUT.vms, LAYOUT.hooks),
        *(
            LAYOUT.temporary,
            LAYOUT.xenstored,
            LAYOUT.libvirt,
            LAYOUT.pids,
            LAYOUT.pid("x"),
            LAYOUT.log("x"),
            LAYOUT.state("x"),
            LAYOUT.switch,
            LAYOUT.sockets("a.x"),
        ),
    ]
    assert all(path.is_relative_to(LAYOUT.root) for path in paths)
    assert len(set(paths)) == len(paths)
    assert LAYOUT.namespace != Layout(Path("/elsewhere")).namespace


def test_broker_and_single_process_are_started_on_the_root() -> None:
    assert broker(LAYOUT, BOTH).command[-3:] == (str(LAYOUT.broker), *BOTH.instances)
    assert single(LAYOUT).command[-3:] == ("--root", str(LAYOUT.root), "single")


def test_a_shape_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "shape.json"
    for shape in (Shape(), BOTH, Shape(bus=BusKind.MEMORY), IN_XENSTORE, BY_LIBVIRT):
        save(shape, path)
        assert load(path) == shape


def test_a_shape_of_before_there_was_a_choice_of_stores_is_one_with_files(tmp_path: Path) -> None:
    path = tmp_path / "shape.json"
    path.write_text(json.dumps(GOOD))
    found = load(path)
    assert found is not None
    assert (found.store, found.backend) == (StoreKind.FILES, BackendName.QEMU)


def test_workers_alone_are_told_of_the_xenstore() -> None:
    told = {each.name: each.environment for each in IN_XENSTORE.processes(LAYOUT, at_broker)}
    assert told[WORKER_SIM]["XENOPS_STORE"] == "xenstore"
    assert told[WORKER_SIM]["XENOPS_XENSTORE_SOCKET"] == str(LAYOUT.xenstored / "socket")
    assert [name for name, variables in told.items() if "XENOPS_STORE" in variables] == [WORKER_SIM]
    assert "XENOPS_STORE" not in BOTH.environment(WORKER_SIM, LAYOUT, at_broker)
    assert xenstored(LAYOUT, StoreKind.OXENSTORED).command[-2:] == (str(LAYOUT.xenstored), "oxenstored")


def test_where_nothing_was_written_there_is_no_shape(tmp_path: Path) -> None:
    assert load(tmp_path / "shape.json") is None


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        "{}",
        json.dumps({**GOOD, "version": 0}),
        json.dumps({**GOOD, "network": "pigeons"}),
        json.dumps({**GOOD, "workers": 7}),
    ],
)
def test_what_another_version_wrote_is_told_with_its_remedy(tmp_path: Path, content: str) -> None:
    path = tmp_path / "shape.json"
    path.write_text(content)
    with pytest.raises(ShapeError, match="make down"):
        load(path)


def test_the_worker_is_told_where_the_libvirtd_is_that_has_its_bridge() -> None:
    told = BY_LIBVIRT.environment(WORKER_KVM, LAYOUT, at_broker)
    assert told["XENOPS_BACKEND"] == "libvirt"
    assert told["XENOPS_LIBVIRT_URI"].endswith(f"{LAYOUT.libvirt}/sock/libvirt-sock")
    assert told["XENOPS_LIBVIRT_LOGS"] == f"{LAYOUT.libvirt}/log/qemu"
    assert libvirtd(LAYOUT, BY_LIBVIRT).command[-3:] == ("serve", str(LAYOUT.libvirt), LAYOUT.namespace)
    assert libvirtd(LAYOUT, Shape()).command[-1] == str(LAYOUT.libvirt)
    assert "XENOPS_BACKEND" not in BOTH.environment(WORKER_KVM, LAYOUT, at_broker)
