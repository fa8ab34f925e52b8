from pathlib import Path

from stack.layout import Layout

from stack import remains


def test_a_file_of_broker_or_qemu_that_was_not_there_before_is_a_trace(tmp_path: Path) -> None:
    (tmp_path / "erl_crash.dump").touch()
    before = remains.surroundings((tmp_path,))
    for name in ("vl.A1b2C3", ".erlang.cookie", "notes.txt"):
        (tmp_path / name).touch()
    new = remains.surroundings((tmp_path,)) - before
    assert {Path(found).name for found in new} == {"vl.A1b2C3", ".erlang.cookie"}


def test_a_stack_that_never_was_has_no_traces(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert remains.processes(layout) == []
    assert not remains.has_namespace(layout)
