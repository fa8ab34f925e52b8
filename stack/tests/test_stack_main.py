import json
from pathlib import Path

import pytest
from stack.__main__ import main
from stack.layout import Layout
from stack.local import LocalStack
from stack.processes import StackError
from stack.shape import BROKER, BusKind, Shape, save

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "stack")


def run(layout: Layout, *words: str) -> int:
    return main(["--root", str(layout.root), *words])


def test_down_and_status_of_a_stack_that_never_was_say_so_and_leave_nothing(
    layout: Layout, capsys: Capture
) -> None:
    assert run(layout, "down") == 0
    assert capsys.readouterr().out == "nothing was running\n"
    assert run(layout, "status") == 0
    assert capsys.readouterr().out == "nothing runs: `make up` starts it\n"
    assert not layout.root.exists()


def test_a_service_that_is_not_there_is_not_restarted(layout: Layout, capsys: Capture) -> None:
    assert run(layout, "restart", "frontent") == 1
    assert "no service 'frontent' here; there are: broker, redirector" in capsys.readouterr().err


def test_a_service_of_a_stack_without_a_broker_is_not_restarted(layout: Layout, capsys: Capture) -> None:
    assert run(layout, "restart", "frontend") == 1
    assert "broker does not run: start it with `make up`" in capsys.readouterr().err


def test_status_tells_what_should_run_and_does_not(layout: Layout, capsys: Capture) -> None:
    layout.pids.mkdir(parents=True)
    layout.pid(BROKER).write_text("999999999 1 f\n")
    assert run(layout, "status") == 1
    out = capsys.readouterr().out
    assert "broker       has ended; see" in out
    assert "`make up` starts what is missing" in out


def test_a_restart_of_nothing_asks_which(layout: Layout, capsys: Capture) -> None:
    assert run(layout, "restart", "") == 1
    assert "which service? SERVICE=… names it; there are: broker" in capsys.readouterr().err


def test_what_another_version_left_is_refused_until_down_removed_it(layout: Layout, capsys: Capture) -> None:
    layout.root.mkdir()
    layout.shape.write_text(json.dumps({"version": 0}))
    with pytest.raises(StackError, match="make down"):
        LocalStack(layout).up()
    assert run(layout, "restart", "frontend") == 1
    assert "another version" in capsys.readouterr().err
    assert run(layout, "down") == 0
    assert "removed, as another version made it" in capsys.readouterr().out
    assert not layout.root.exists()


def test_a_root_too_deep_for_sockets_is_refused(tmp_path: Path) -> None:
    stack = LocalStack(Layout(tmp_path / ("d" * 100)), Shape(bus=BusKind.MEMORY))
    with pytest.raises(StackError, match="too long a path"):
        stack.up()


def test_what_the_stack_is_made_of_is_read_from_its_files(layout: Layout) -> None:
    layout.root.mkdir()
    save(Shape({"worker-kvm": "i"}, bus=BusKind.MEMORY), layout.shape)
    stack = LocalStack(layout)
    assert stack.shape.instances == ("i",)
    assert stack.url == f"unix://{layout.door}"


def test_two_do_not_start_or_stop_a_stack_at_a_time(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.local.LOCK_TIMEOUT_S", 0.0)
    first, second = LocalStack(layout), LocalStack(layout)
    with first._alone(), pytest.raises(StackError, match="somebody else"):
        second.down()
    assert second.down().processes == ()


def test_without_the_command_line_there_is_usage(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "up" in capsys.readouterr().err
