"""The stack as processes: what survives a kill, a restart, a dead broker; and what down leaves."""

import http.client
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from dashboard.operators import OperatorRole
from schema.fault import XenopsError
from schema.objects.vm import PowerState
from stack.__main__ import main
from stack.layout import Layout
from stack.local import LocalStack
from stack.processes import StackError
from stack.shape import BROKER, SIMULATOR_INSTANCE, BusKind, Shape
from xenops.client import Client
from xenops.command.main import main as xenops
from xenops.events import wait_for_task
from xenops.vmfile import parse_vm_file

from stack import page, remains

PATIENCE_S = 120.0
SERVICES = ("redirector", "eventhub", "worker-sim", "frontend", "dashboard")


@pytest.fixture(name="layout", scope="module")
def make_layout() -> Iterator[Layout]:
    layout = Layout(Path(tempfile.mkdtemp(prefix="xs-")) / "stack")
    yield layout
    shutil.rmtree(layout.root.parent)


@pytest.fixture(name="stack", scope="module")
def bring_up(layout: Layout) -> Iterator[LocalStack]:
    with LocalStack(layout, Shape()) as stack:
        yield stack
    assert remains.processes(layout) == []


@pytest.fixture(name="client")
def connect(stack: LocalStack) -> Iterator[Client]:
    stack.up()
    with stack.client(SIMULATOR_INSTANCE, timeout_s=PATIENCE_S) as client:
        yield client


def added(client: Client, vm: str) -> str:
    content = f'{{"vm": {{"id": "{vm}"}}, "vbds": [{{"device": "xvda", "disk": "disk"}}]}}'
    metadata = parse_vm_file(content, Path("/x"))
    client.vm.add(metadata.vm)
    for vbd in metadata.vbds:
        client.vbd.add(vbd)
    return vm


def done(client: Client, operate: Callable[[str], str], vm: str) -> None:
    wait_for_task(client, operate(vm), PATIENCE_S)


def power_state(client: Client, vm: str) -> PowerState:
    return client.vm.stat(vm)[1].power_state


def test_up_is_idempotent_and_status_names_what_runs(
    stack: LocalStack, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stack.status()
    assert tuple(before) == (BROKER, *SERVICES)
    stack.up()
    assert stack.status() == before
    assert main(["--root", str(layout.root), "status"]) == 0
    assert stack.url in capsys.readouterr().out


def asked(layout: Layout, role: OperatorRole, method: str, path: str) -> tuple[int, Any]:
    """What the page's API says to a token of a role; `path` is below the instance."""
    connection = http.client.HTTPConnection(urlsplit(page.url_of(layout)).netloc, timeout=PATIENCE_S)
    headers = {"authorization": f"Bearer {page.token_of(layout, role)}"}
    connection.request(method, f"/api/v1/instances/{SIMULATOR_INSTANCE}{path}", headers=headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, told


def test_the_page_shows_what_was_done_and_its_actions_are_in_the_log(layout: Layout, client: Client) -> None:
    vm = added(client, "shown")
    done(client, client.vm.start, vm)
    held, _ = asked(layout, OperatorRole.OPERATOR, "POST", f"/lanes/{vm}/hold")
    assert held == http.client.OK
    assert client.lane.stat(vm).lane.held
    waits = client.vm.unpause(vm)
    assert asked(layout, OperatorRole.READER, "POST", f"/tasks/{waits}/discard")[0] == http.client.FORBIDDEN
    assert asked(layout, OperatorRole.OPERATOR, "POST", f"/tasks/{waits}/discard")[0] == http.client.OK
    with pytest.raises(XenopsError):
        wait_for_task(client, waits, PATIENCE_S)
    assert asked(layout, OperatorRole.OPERATOR, "POST", f"/lanes/{vm}/release")[0] == http.client.OK
    _, tasks = asked(layout, OperatorRole.READER, "GET", f"/tasks?vm={vm}")
    assert [task["state"] for task in tasks["tasks"]] == ["cancelled", "done"]
    _, started = asked(layout, OperatorRole.READER, "GET", f"/tasks/{tasks['tasks'][1]['id']}")
    assert "VM_create" in [atom["kind"] for atom in started["atoms"]]
    _, log = asked(layout, OperatorRole.READER, "GET", f"/log?vm={vm}&kind=Acted")
    assert [(one["record"]["who"], one["record"]["action"]) for one in log["entries"]] == [
        ("local-operator", "release"),
        ("local-operator", "discard"),
        ("local-operator", "hold"),
    ]
    assert asked(layout, OperatorRole.READER, "GET", "/updates")[1]["token"] > 0
    assert asked(layout, OperatorRole.READER, "GET", "/workers")[1][0]["state"] == "up"


@pytest.mark.parametrize("service", SERVICES)
def test_a_vm_survives_the_death_of_any_service(stack: LocalStack, client: Client, service: str) -> None:
    vm = added(client, f"killed-{service}")
    done(client, client.vm.start, vm)
    stack.kill(service)
    assert stack.status()[service] is None
    assert any(words.startswith(f"{service} has ended") for words in stack.dead())
    stack.up()
    assert power_state(client, vm) is PowerState.RUNNING
    done(client, client.vm.pause, vm)
    assert power_state(client, vm) is PowerState.PAUSED


def test_a_task_that_waits_for_its_worker_survives_the_restart_of_all_others(
    stack: LocalStack, client: Client
) -> None:
    vm = added(client, "waiting")
    stack.kill("worker-sim")
    task = client.vm.start(vm)
    for service in ("redirector", "eventhub", "frontend"):
        stack.kill(service)
        stack.start(service)
    stack.start("worker-sim")
    stack.await_answers()
    wait_for_task(client, task, PATIENCE_S)
    assert power_state(client, vm) is PowerState.RUNNING


def test_a_service_is_started_anew_by_name_with_another_pid(stack: LocalStack) -> None:
    before = stack.status()
    stack.restart("frontend")
    after = stack.status()
    assert after["frontend"] not in {before["frontend"], None}
    assert {**after, "frontend": 0} == {**before, "frontend": 0}


def test_up_starts_a_dead_broker_and_nothing_is_forgotten(stack: LocalStack, client: Client) -> None:
    vm = added(client, "brokers-death")
    done(client, client.vm.start, vm)
    stack.kill(BROKER)
    stack.up()
    with stack.client(SIMULATOR_INSTANCE, timeout_s=PATIENCE_S) as again:
        assert power_state(again, vm) is PowerState.RUNNING
        done(again, again.vm.pause, vm)


def test_what_was_started_for_another_broker_is_started_anew(stack: LocalStack, layout: Layout) -> None:
    before = stack.status()
    stack.kill(BROKER)
    (layout.broker / "ports").unlink()
    stack.up()
    after = stack.status()
    assert all(after[service] not in {before[service], None} for service in SERVICES)


def test_another_bus_is_refused_while_the_stack_runs(stack: LocalStack, layout: Layout) -> None:
    assert stack.status()
    with pytest.raises(StackError, match="`make down` ends it"):
        LocalStack(layout, Shape(bus=BusKind.MEMORY)).up()


def test_a_service_that_cannot_start_is_told_with_its_last_words(stack: LocalStack) -> None:
    stack.kill("worker-sim")
    stack.start("worker-sim", {"XENOPS_CAPACITY": "many"})
    with pytest.raises(StackError, match=r"(?s)worker-sim has ended.*XENOPS_CAPACITY is 'many'"):
        stack.await_answers()
    stack.start("worker-sim")
    stack.await_answers()


def test_down_and_up_again_go_on_where_they_were(stack: LocalStack, client: Client, layout: Layout) -> None:
    vm = added(client, "kept")
    assert set(stack.down().processes) == {BROKER, *SERVICES}
    assert remains.processes(layout) == []
    assert stack.status() == {}
    assert stack.down().processes == ()
    stack.up()
    with stack.client(SIMULATOR_INSTANCE, timeout_s=PATIENCE_S) as again:
        assert power_state(again, vm) is PowerState.HALTED
        done(again, again.vm.start, vm)


def test_a_stack_in_one_process_serves_the_same_commands_at_its_socket(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    layout = Layout(Path(tempfile.mkdtemp(prefix="xs-")))
    vm_file = tmp_path / "vm.json"
    vm_file.write_text('{"vm": {"id": "demo"}}')
    with LocalStack(layout, Shape(bus=BusKind.MEMORY)) as stack:
        assert tuple(stack.status()) == ("single",)
        monkeypatch.setenv("XENOPS_BROKER", stack.url)
        monkeypatch.setenv("XENOPS_INSTANCE", SIMULATOR_INSTANCE)
        assert xenops(["add", str(vm_file)]) == 0
        assert xenops(["start", "demo"]) == 0
        stack.restart("single")
        assert xenops(["stat", "demo"]) == 0
        assert "Running" in capfd.readouterr().out
    assert remains.processes(layout) == []
    shutil.rmtree(layout.root)
