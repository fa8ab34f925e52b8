"""What the command's `--json` says, against what `docs/reference/command-json.md` promises of it."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from bus.memory import MemoryBus
from schema.ids import InstanceName
from xenops.command import main as command
from xenops.command.arguments import SUBJECTS
from xenops.log import Log
from xenops_testing.instance import Instance

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-json.md"
ANY = "…"
SILENT = {"console", "completion"}
"""They write no JSON."""

ALIKE = {"fast-resume", "migrate"}
"""Operations that an instance in memory cannot do; what they say is said for all in one place."""

LINES = """
add FILES/one.json
create FILES/two.json
list
stat one
query
start one --run
pause one
unpause one
set-vcpus one 1
set-memory one 64 64
delay one 0
vbd-add one xvdb --disk FILES/disk
vbd-plug one xvdb
vbd-unplug one xvdb
vbd-remove one xvdb
vbd-add one hdc --type cdrom --plug
vbd-insert one hdc --disk FILES/disk
vbd-eject one hdc
vif-add one 1 --mac 52:54:00:00:00:09
vif-plug one 1
vif-unplug one 1
vif-remove one 1
pci-add one 0 0000:03:00.0
pci-remove one 0
suspend one --disk FILES/image
resume one --run --disk FILES/image
reboot one
shutdown one
export one --file FILES/one.export
remove one
import FILES/one.export
lane-hold two
pause two --no-wait
lanes
tasks
prioritise TASK 5
deadline TASK none
cancel TASK
lane-release two
workers
worker-drain worker
worker-undrain worker
set-worker-pool-size 4
doctor --patience 0.1
top --once
timeline two
log --kind Submitted
events
quarantine
diagnostics
call VM.exists id=two
""".strip().splitlines()
"""Each command once at least, in an order in which it has something to do."""


def promised() -> Mapping[str, Any]:
    """By command, what a line of it is like: None stands for any value."""
    found = {}
    for commands, value in re.findall(r"^\| (`[^|]*`) +\| `([^`]*)` +\|", PAGE.read_text(), re.MULTILINE):
        shape = json.loads(value.replace(ANY, "null"))
        found.update(dict.fromkeys(re.findall(r"`([^`]+)`", commands), shape))
    return found


def fits(shape: Any, value: Any) -> bool:
    """Whether a value has exactly the fields that are promised."""
    match shape:
        case None:
            return True
        case dict():
            is_alike = isinstance(value, dict) and value.keys() == shape.keys()
            return is_alike and all(fits(shape[name], value[name]) for name in shape)
        case [one]:
            return isinstance(value, list) and all(fits(one, each) for each in value)
        case _:
            raise AssertionError(shape)


@pytest.fixture(name="files")
def write_files(tmp_path: Path) -> Path:
    (tmp_path / "disk").touch()
    nic = {"device": "0", "mac": "52:54:00:00:00:01"}
    for name in ("one", "two"):
        vm = {"vm": {"id": name, "memory": "64 MiB"}, "vifs": [nic]}
        (tmp_path / f"{name}.json").write_text(json.dumps(vm))
    return tmp_path


@pytest.fixture(name="told")
def connect(xenops_instance: Instance, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Do one command line; answers what it wrote, line by line."""
    where = ("--json", "--broker", "memory", "--instance", xenops_instance.name)

    def log(_: object) -> Log:
        bus = MemoryBus(xenops_instance._broker, "log")
        return Log(bus, InstanceName(xenops_instance.name))

    def do(*argv: str, ends: int = command.DONE) -> list[Any]:
        code = command.main((*where, *argv), lambda _: xenops_instance.client(), log)
        out = capsys.readouterr()
        assert out.err == "", argv
        assert code == ends or "doctor" in argv, (argv, out.out)  # a slow machine is no healthy one
        return [json.loads(line) for line in out.out.splitlines()]

    return do


def test_the_page_tells_of_each_command_once() -> None:
    every = [name for names in SUBJECTS.values() for name in names if name not in SILENT]
    assert sorted(promised()) == sorted(every)


def test_each_command_says_what_the_page_promises(
    told: Callable[..., Any], files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes, tried, task = promised(), set(ALIKE), ""
    for line in LINES:
        name, *rest = line.replace("FILES", str(files)).replace("TASK", task).split()
        first, *others = told(name, *rest)
        if "--no-wait" in rest:
            assert first.keys() == {"task"}
            task = first["task"]
        elif "--plug" in rest:
            assert fits(shapes["vbd-plug"], first), line
        else:
            assert fits(shapes[name], first), (line, first)
        assert all(fits(shapes["log" if name == "log" else "start"], other) for other in others), line
        tried.add(name)
    monkeypatch.setattr("xenops.command.watch._next", interrupt)
    assert fits(shapes["watch"], told("watch")[0])
    assert tried | {"watch"} == shapes.keys()


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_fails_says_so_as_promised(told: Callable[..., Any]) -> None:
    for argv, code in ((("stat", "nope"), command.FAILED), (("add", "/nope"), command.USAGE)):
        *_, last = told(*argv, ends=code)
        assert last.keys() == {"error", "message"}
        assert (last["error"] is None) is (code == command.USAGE)
