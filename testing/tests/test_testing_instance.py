"""The instance in memory: what a user's own tests stand on."""

import asyncio
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from bus.ports import BusUnavailableError
from engine.simulator import Crash
from schema.objects.dynamic import TaskObject
from schema.objects.errors import Cancelled, DoesNotExist, InternalError
from schema.objects.task import Completed, Pending, Task
from schema.objects.vm import PowerState
from xenops import Client, XenopsError, aio, event_wait, wait_for_task
from xenops.aio import AsyncClient
from xenops_testing.instance import Delay, Fail, Fault, Hang, Instance, Part, Simulated, a_vm

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0


def started(client: Client, vm: str = "vm") -> str:
    client.vm.add(a_vm(vm))
    wait_for_task(client, client.vm.start(vm), PATIENCE_S)
    wait_for_task(client, client.vm.unpause(vm), PATIENCE_S)
    return vm


def test_a_vm_lives_through_every_service(xenops_client: Client, xenops_instance: Instance) -> None:
    vm = started(xenops_client)
    assert xenops_client.vm.stat(vm)[1].power_state is PowerState.RUNNING
    wait_for_task(xenops_client, xenops_client.vm.shutdown(vm), PATIENCE_S)
    xenops_client.vm.remove(vm)
    assert not xenops_client.vm.exists(vm)
    kinds = [record.kind for record in xenops_instance.records]
    assert (
        kinds.count("Leased")
        == kinds.count("Finished")
        == len([kind for kind in kinds if kind == "Submitted"])
    )
    assert "Removed" in kinds


def test_instances_know_nothing_of_each_other(xenops_client: Client, tmp_path: Path) -> None:
    started(xenops_client)
    with Instance(tmp_path / "other", name="other") as other:
        assert other.client().vm.list() == ()


@pytest.mark.xenops(faults=[Fault(verb="VM.build", effect=Fail(error=InternalError(message="no memory")))])
def test_a_fault_is_met_by_the_client_as_the_error_it_is(xenops_client: Client) -> None:
    with pytest.raises(XenopsError) as raised:
        started(xenops_client)
    assert raised.value.error == InternalError(message="no memory")
    assert xenops_client.vm.stat("vm")[1].power_state is PowerState.HALTED


@pytest.mark.xenops(faults=[Fault(verb="VM.create", call=1, effect=Hang())])
def test_what_hangs_can_be_cancelled(xenops_client: Client) -> None:
    """However early: a domain that was made would be started anew after a cancel, and hang for good."""
    xenops_client.vm.add(a_vm())
    task = xenops_client.vm.start("vm")
    xenops_client.task.cancel(task)
    with pytest.raises(XenopsError) as raised:
        wait_for_task(xenops_client, task, PATIENCE_S)
    assert isinstance(raised.value.error, Cancelled)


@pytest.mark.xenops(faults=[Fault(verb="VM.build", call=1, effect=Hang())])
def test_an_instance_in_which_something_hangs_ends_all_the_same(xenops_client: Client) -> None:
    xenops_client.vm.add(a_vm())
    xenops_client.vm.start("vm")
    event_wait(xenops_client, None, lambda changed: isinstance(changed, TaskObject), timeout_s=PATIENCE_S)


def test_a_crash_of_the_tests_own_process_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Instance\.stop"):
        Instance(Path("/nowhere"), Simulated(faults=[Fault(verb="*", effect=Crash())]))


@pytest.mark.parametrize("part", list(Part))
def test_a_service_comes_back_and_knows_what_was(
    part: Part, xenops_client: Client, xenops_instance: Instance
) -> None:
    vm = started(xenops_client)
    xenops_instance.stop(part)
    xenops_instance.start(part)
    xenops_instance.start(part)
    wait_for_task(xenops_client, xenops_client.vm.pause(vm), PATIENCE_S)
    assert xenops_client.vm.stat(vm)[1].power_state is PowerState.PAUSED


def test_an_instance_without_a_frontend_is_not_reached(
    xenops_client: Client, xenops_instance: Instance
) -> None:
    xenops_instance.stop(Part.FRONTEND)
    xenops_instance.stop(Part.FRONTEND)
    xenops_client = xenops_client.patient(0.3)
    with pytest.raises(BusUnavailableError):
        xenops_client.vm.list()


def test_nothing_of_it_is_left(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with Instance(tmp_path) as instance:
        instance.client().vm.list()
        instance.async_client()
    left = [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("bus-")]
    assert left == []


@pytest.mark.xenops(faults=[Fault(verb="VM.create", vm="slow", call=1, effect=Delay(seconds=600))])
def test_many_calls_are_awaited_at_once(xenops_async_client: AsyncClient) -> None:
    async def all_of_them() -> None:
        client = xenops_async_client
        names = await asyncio.gather(*(client.vm.add(a_vm(f"vm-{number}")) for number in range(20)))
        waits = [
            asyncio.create_task(client.updates.get(await client.updates.last_id(), 300)) for _ in range(50)
        ]
        tasks = await asyncio.gather(*map(client.vm.start, names))
        ended = await asyncio.gather(*(aio.wait_for_task(client, task, PATIENCE_S) for task in tasks))
        assert len(ended) == len(names)
        await asyncio.gather(*waits)
        await client.vm.add(a_vm("slow"))
        waiting = asyncio.create_task(aio.wait_for_task(client, task := await client.vm.start("slow")))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert isinstance((await client.task.stat(task)).state, Pending)
        await client.task.cancel(task)
        with pytest.raises(XenopsError):
            await aio.wait_for_task(client, task, PATIENCE_S)

    asyncio.run(all_of_them())


def test_an_awaited_call_fails_as_a_plain_one(
    xenops_async_client: AsyncClient, xenops_instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xenops.calling.UNSERVED_S", 0.3)

    async def unknown() -> None:
        await xenops_async_client.vm.stat("nobody")

    async def unreached() -> None:
        await xenops_async_client.query()

    with pytest.raises(XenopsError) as raised:
        asyncio.run(unknown())
    assert isinstance(raised.value.error, DoesNotExist)
    xenops_instance.stop(Part.FRONTEND)
    with pytest.raises(BusUnavailableError):
        asyncio.run(unreached())


def test_progress_and_changes_are_awaited(xenops_async_client: AsyncClient) -> None:
    async def follow() -> None:
        client = xenops_async_client
        seen: list[Task] = []
        await client.vm.add(a_vm())
        token = await client.updates.last_id()
        task = await client.vm.start("vm")
        await aio.wait_for_task(client, task, PATIENCE_S, seen.append, destroy=False)
        assert isinstance(seen[-1].state, Completed)
        assert await aio.event_wait(client, token, lambda _: True, timeout_s=PATIENCE_S) > token

    asyncio.run(follow())


def run_pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_each_example_has_tests() -> None:
    programs = {path.parent for path in ROOT.glob("examples/*/*.py")}
    assert programs == {path.parent for path in ROOT.glob("examples/*/test_*.py")}
    assert programs == {path.parent for path in ROOT.glob("examples/*/pytest.ini")}


@pytest.mark.parametrize(
    "example", sorted(ROOT.glob("examples/*/pytest.ini")), ids=lambda path: path.parent.name
)
def test_the_tests_of_an_example_pass(example: Path) -> None:
    done = run_pytest("-c", str(example), str(example.parent))
    assert done.returncode == 0, done.stdout
    assert re.search(r"^[1-9]\d* passed", done.stdout, re.MULTILINE)


def test_a_mark_that_says_nothing_is_refused_in_words(tmp_path: Path) -> None:
    test = tmp_path / "test_it.py"
    test.write_text("import pytest\n@pytest.mark.xenops(speed=3)\ndef test_it(xenops_client): pass\n")
    done = run_pytest("-c", "/dev/null", "--rootdir", str(tmp_path), str(test))
    assert done.returncode != 0
    assert "speed" in done.stdout
    assert "transfer_s" in done.stdout
