"""The command `xenops watch`: VMs and tasks as they are, drawn anew when something has changed."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from bus.ports import BusUnavailableError
from engine.conformance.samples import sample_vm
from fake_instance import DONE, FakeInstance
from fake_states import STATE
from rich.console import Console
from schema.fault import XenopsError
from schema.objects.dynamic import VmObject
from schema.objects.errors import DoesNotExist
from schema.objects.vm import PowerState, Vm, VmState
from xenops import Client
from xenops.command import main as command
from xenops.command.arguments import parser
from xenops.command.screen import RichScreen
from xenops.command.watch import show_watch

Capture = pytest.CaptureFixture[str]


class Changing(FakeInstance):
    """A VM whose states come one after the other, each time somebody waits; then somebody interrupts."""

    def __init__(self, *states: PowerState) -> None:
        super().__init__()
        self._vm: Vm = sample_vm("one")
        self._states: Iterator[PowerState] = iter(states)
        self._now = next(self._states)
        self.answers |= {
            "VM.list": self._all,
            "VM.stat": self._one,
            "VM.exists": lambda **asked: asked["id"] == "one",
            "UPDATES.get": self._next,
            **dict.fromkeys(("VBD.list", "VIF.list", "PCI.list"), lambda **_: ()),
        }

    def _all(self) -> tuple[tuple[Vm, VmState], ...]:
        return ((self._vm, STATE.model_copy(update={"power_state": self._now})),)

    def _one(self, id: str) -> tuple[Vm, VmState]:  # noqa: A002  the interface's name
        if id != "one":
            raise XenopsError(DoesNotExist(klass="VM", id=id))
        return self._vm, STATE.model_copy(update={"power_state": self._now})

    def _next(self, last_id: int, timeout: int) -> Any:
        found = next(self._states, None)
        if found is None:
            raise KeyboardInterrupt
        self._now = found
        return (), (VmObject(id="one"),), last_id + timeout


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xenops.command.watch.PAUSE_S", 0.0)
    monkeypatch.setattr("xenops.command.watch.AGAIN_S", 0.0)


def frames(capsys: Capture) -> list[Any]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_frame_comes_when_something_has_changed_and_only_then(capsys: Capture) -> None:
    halted, running = PowerState.HALTED, PowerState.RUNNING
    door = Changing(halted, halted, running, running)
    door.task("1")
    door.task("2", DONE)
    assert command.main(("--json", "watch"), lambda _: Client(door, "i")) == command.DONE
    shown = frames(capsys)
    assert [frame["vms"][0]["state"]["power_state"] for frame in shown] == ["Halted", "Running"]
    assert [task["id"] for task in shown[0]["tasks"]] == ["1"]


def test_one_vm_is_watched_and_one_that_is_not_there_is_an_error(capsys: Capture) -> None:
    door = Changing(PowerState.RUNNING)
    assert command.main(("--json", "watch", "one"), lambda _: Client(door, "i")) == command.DONE
    assert [frame["vm"]["vm"]["id"] for frame in frames(capsys)] == ["one"]
    assert command.main(("watch", "two"), lambda _: Client(door, "i")) == command.FAILED
    assert "two" in capsys.readouterr().err


def test_at_a_terminal_what_is_out_of_reach_is_said_until_it_is_back() -> None:
    door = Changing(PowerState.HALTED, PowerState.RUNNING)
    asked = door.answers["UPDATES.get"]

    def fail_once(**_: Any) -> Any:
        door.answers["UPDATES.get"] = asked
        raise BusUnavailableError("nobody answers")

    door.answers["UPDATES.get"] = fail_once
    screen, drawn = RichScreen(), io.StringIO()
    screen._out = Console(file=drawn, force_terminal=True, width=120, height=40)
    show_watch(Client(door, "i"), parser().parse_args(["watch"]), screen)
    text = drawn.getvalue()
    assert text.index("Halted") < text.index("nobody answers") < text.index("Running")
