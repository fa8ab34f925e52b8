"""What a migration has left under a temporary id is named by signs of life, through every service."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from bus.rabbit import RabbitBus
from bus.roles import Role
from engine.conformance.samples import sample_vm
from engine.journal import Journal, JournalEntry
from engine.store import FileStore
from schema.ids import LeaseToken, TaskId, VmId
from schema.migration import departing_id
from schema.objects.lane import StrandedVm
from schema.operations import VmMigrate
from xenops.client import Client
from xenops.command import main as command

if TYPE_CHECKING:
    from conftest import Stack

VM = VmId("1f5a1c9e-0000-4000-8000-0123456789ab")
NOWHERE = "http://127.0.0.1:9/services/xenops"
PATIENCE_S = 90.0
PAUSE_S = 0.5


@pytest.fixture(name="client")
def connect(stack: Stack) -> Iterator[Client]:
    bus = RabbitBus(stack.node.url_of(Role.CLIENT), "operator")
    yield Client(bus, stack.instance)
    bus.close()


def named(client: Client, *, until: bool) -> tuple[StrandedVm, ...]:
    """What the worker names, once it is up and names anything, or nothing any more."""
    end, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while time.monotonic() < end:
        stranded = [one for worker in client.worker.list() for one in worker.stranded]
        if bool(stranded) is until:
            return tuple(stranded)
        pause.wait(PAUSE_S)
    pytest.fail("the worker's signs of life say otherwise")


def test_a_vm_that_is_kept_at_its_source_is_named_until_an_operator_has_configured_it_anew(
    stack: Stack, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, state = departing_id(VM), stack.directory / "worker" / "state"
    FileStore(state / "metadata").write(sample_vm(gone))
    maps = {"vdi_map": (), "vif_map": (), "pci_map": (), "verify_dest": False}
    sent = {"vm": VM, "url": NOWHERE, "compress": False, "localhost_migration": False, **maps}
    operation = VmMigrate.model_validate(sent)
    Journal(state / "journal").keep(
        JournalEntry(vm=VM, task=TaskId(1), token=LeaseToken(2), life=0.0, operation=operation)
    )
    assert named(client, until=True) == (StrandedVm(id=gone, own=VM, state="kept", where="127.0.0.1:9"),)
    assert gone not in [vm.id for vm, _ in client.vm.list()]
    url = stack.node.url_of(Role.OPERATOR)
    command.main(("--json", "--broker", url, "--instance", stack.instance, "doctor"))
    found = {check["check"]: check for check in json.loads(capsys.readouterr().out)}
    assert found["stranded"]["verdict"] == "warn"
    assert f"{VM} as {gone} until 127.0.0.1:9 says whether it runs there" in found["stranded"]["found"]
    client.vm.add(sample_vm(VM))
    assert named(client, until=False) == ()
    assert not FileStore(state / "metadata").exists(gone)
