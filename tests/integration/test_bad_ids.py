"""Names that cannot be files or routing keys, of VMs and of devices, in every method that takes one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from engine.conformance.samples import sample_vbd, sample_vm
from schema.fault import XenopsError
from schema.methods import METHODS
from schema.objects.errors import DoesNotExist
from schema.objects.metadata import Metadata
from schema.wire.codec import encode_text
from schema.wire.types import DeviceId
from xenops.client import Client
from xenops.events import wait_for_task

if TYPE_CHECKING:
    from conftest import Foreign, Stack

pytestmark = pytest.mark.usefixtures("client")

PATIENCE_S = 120.0

BAD_IDS = [
    "", ".", "..", "../../etc/passwd", "a/b", "/", "a b", " a", "a\n", "a\0b", ".hidden", "-rf", "a..b", "_",
    "*", "#", "a" * 65, "ärger", "日本", "%2e%2e", "$(reboot)", "a\\b", "a:b",
]  # fmt: skip
BAD_DEVICES = ["", "..", "../config", "a/b", "xvda ", "x\0", "x" * 65, "ä", ".xvda"]


OF_VMS = sorted(
    name
    for name, method in METHODS.items()
    if ("id", str) in method.parameters and not name.startswith(("Task.", "UPDATES.", "Observer."))
)
OF_DEVICES = sorted(name for name, method in METHODS.items() if ("id", DeviceId) in method.parameters)


def answers_of(foreign: Foreign, requests: dict[Any, bytes]) -> dict[Any, Any]:
    """What each request comes to."""
    numbers = {foreign.send(body): key for key, body in requests.items()}
    answers = foreign.answers(len(numbers))
    return {key: json.loads(answers[number]) for number, key in numbers.items()}


@pytest.mark.parametrize("name", OF_VMS)
def test_an_id_that_cannot_be_is_a_vm_that_does_not_exist(foreign: Foreign, name: str) -> None:
    answers = answers_of(foreign, {vm: foreign.sample(name, id=vm) for vm in BAD_IDS})
    if name == "VM.exists":
        assert {answer["result"] for answer in answers.values()} == {False}
    elif name.endswith(".list"):
        assert all(answer["result"] == [] for answer in answers.values())
    else:
        expected = {vm: ["Does_not_exist", ["VM", f"{vm}/config"]] for vm in BAD_IDS}
        assert {vm: answer["error"] for vm, answer in answers.items()} == expected


@pytest.mark.parametrize("name", OF_DEVICES)
def test_a_device_of_an_id_that_cannot_be_does_not_exist(foreign: Foreign, name: str) -> None:
    requests = {vm: foreign.sample(name, id=DeviceId(vm, "xvda")) for vm in BAD_IDS}
    errors = {vm: answer["error"] for vm, answer in answers_of(foreign, requests).items()}
    assert {error[0] for error in errors.values()} == {"Does_not_exist"}
    table = "PCI" if name in ("PCI.remove", "PCI.stat") else "VM"
    assert all(error[1][0] == table and error[1][1].startswith(vm) for vm, error in errors.items())


@pytest.mark.parametrize("vm", BAD_IDS)
def test_no_vm_is_added_under_a_name_that_cannot_be_a_file(client: Client, vm: str) -> None:
    metadata = encode_text(Metadata, Metadata(vm=sample_vm(vm)))
    attempts: list[Callable[[], object]] = [
        lambda: client.vm.add(sample_vm(vm)),
        lambda: client.vm.import_metadata(metadata),
    ]
    for attempt in attempts:
        with pytest.raises(XenopsError, match="use up to 64 letters, digits"):
            attempt()
    with pytest.raises(XenopsError) as refused:
        client.vm.import_metadata_async(metadata)
    assert refused.value.error == DoesNotExist(klass="VM", id=f"{vm}/config")


@pytest.mark.parametrize("device", BAD_DEVICES)
def test_no_device_is_added_under_a_name_that_cannot_be_a_file(client: Client, device: str) -> None:
    vm = f"vm-{uuid.uuid4()}"
    client.vm.add(sample_vm(vm))
    with pytest.raises(XenopsError, match="the name is unfit for a file; use up to 64 letters"):
        client.vbd.add(sample_vbd(device, vm))
    metadata = encode_text(Metadata, Metadata(vm=sample_vm(vm), vbds=(sample_vbd(device, vm),)))
    with pytest.raises(XenopsError, match="the name is unfit for a file; use up to 64 letters"):
        wait_for_task(client, client.vm.import_metadata_async(metadata), PATIENCE_S)
    assert client.vbd.list(vm) == ()
    client.vm.remove(vm)


def test_nothing_was_written_but_what_was_named_well(stack: Stack) -> None:
    above = {path.name for path in stack.directory.iterdir() if path.suffix != ".log"}
    assert above == {"broker", "worker"}
    assert {path.name for path in (stack.directory / "worker").iterdir()} == {"state"}
    written = {path.name for path in (stack.directory / "worker" / "state" / "metadata" / "VM").iterdir()}
    assert all(name.startswith(("healthy-", ".removed-healthy-")) for name in written)


def test_what_nobody_knows_does_not_exist(client: Client) -> None:
    vm = f"vm-{uuid.uuid4()}"
    unknown = DoesNotExist(klass="VM", id=f"{vm}/config")
    attempts: list[tuple[Callable[[], object], DoesNotExist]] = [
        (lambda: client.vm.stat(vm), unknown),
        (lambda: client.vm.remove(vm), unknown),
        (lambda: wait_for_task(client, client.vm.start(vm), PATIENCE_S), unknown),
        (lambda: client.vbd.stat(DeviceId(vm, "xvda")), DoesNotExist(klass="VM", id=f"{vm}/vbd.xvda")),
        (lambda: client.vif.remove(DeviceId(vm, "0")), DoesNotExist(klass="VM", id=f"{vm}/vif.0")),
        (lambda: client.vbd.add(sample_vbd(vm=vm)), DoesNotExist(klass="VM", id=vm)),
        (lambda: client.task.stat("99999999"), DoesNotExist(klass="task", id="99999999")),
        (lambda: client.task.cancel("../1"), DoesNotExist(klass="task", id="../1")),
    ]
    for attempt, error in attempts:
        with pytest.raises(XenopsError) as raised:
            attempt()
        assert raised.value.error == error
