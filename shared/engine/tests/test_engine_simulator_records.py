"""The simulated host's file, when two processes share it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.simulator.machine import Machine
from engine.simulator.records import FileRecords
from schema.fault import XenopsError

Pair = tuple[FileRecords, FileRecords]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two that know nothing of each other, as in two workers."""
    pair = FileRecords(tmp_path / "host.db"), FileRecords(tmp_path / "host.db")
    yield pair
    for each in pair:
        each.close()


def noting(*names: str) -> Callable[[Machine], Machine]:
    """Active devices in addition to those that are noted."""
    return lambda machine: machine.but(active=(*machine.active, *names))


def forget(machine: Machine) -> Machine:
    return Machine(id=machine.id)


def test_a_change_is_made_on_what_another_has_written(pair: Pair) -> None:
    one, other = pair
    one.change("vm", noting("vbd.xvda"))
    other.change("vm", noting("vbd.xvdb"))
    assert one.change("vm", noting("vbd.xvdc")).active == ("vbd.xvda", "vbd.xvdb", "vbd.xvdc")
    assert other.read("vm") == one.read("vm")


def test_a_machine_that_another_has_begun_is_not_begun_anew(pair: Pair) -> None:
    one, other = pair

    def begin(machine: Machine) -> Machine:
        if not machine.active:
            other.change("vm", noting("vbd.other"))
        return noting("vbd.one")(machine)

    assert one.change("vm", begin).active == ("vbd.other", "vbd.one")


def test_a_machine_that_another_has_forgotten_begins_blank(pair: Pair) -> None:
    one, other = pair
    one.change("vm", noting("vbd.xvda"))
    other.change("vm", forget)
    assert one.change("vm", noting("vbd.xvdb")).active == ("vbd.xvdb",)


def test_forgetting_counts_for_what_another_has_written_too(pair: Pair) -> None:
    one, other = pair
    one.change("vm", noting("vbd.xvda"))
    other.change("vm", noting("vbd.xvdb"))
    one.change("vm", forget)
    assert other.read("vm") == Machine(id="vm")
    assert one.change("vm", forget) == Machine(id="vm")


def test_a_change_that_has_nothing_to_do_looks_at_what_another_has_written(pair: Pair) -> None:
    one, other = pair
    one.change("vm", noting("vbd.xvda"))
    other.change("vm", noting("vbd.xvdb"))
    assert one.change("vm", lambda machine: machine).active == ("vbd.xvda", "vbd.xvdb")


def test_an_error_is_one_only_if_what_another_has_written_gives_it_too(pair: Pair) -> None:
    one, other = pair

    def needs_a_disk(machine: Machine) -> Machine:
        return (
            noting("vif.0")(machine) if "vbd.xvda" in machine.active else machine.but(domain=machine.living())
        )

    one.change("vm", noting("vif.1"))
    with pytest.raises(XenopsError):
        one.change("vm", needs_a_disk)
    other.change("vm", noting("vbd.xvda"))
    assert one.change("vm", needs_a_disk).active == ("vif.1", "vbd.xvda", "vif.0")


def test_strings_that_are_not_utf8_are_kept(pair: Pair) -> None:
    one, other = pair
    one.change("vm", noting("vbd.\udcff"))
    assert other.read("vm").active == ("vbd.\udcff",)


def test_what_is_renamed_is_found_by_its_new_name_only(pair: Pair) -> None:
    one, other = pair
    one.change("vm", noting("vbd.xvda"))
    other.read("vm")
    other.rename("vm", "new")
    other.rename("nobody", "else")
    assert one.read("vm") == Machine(id="vm")
    assert one.read("new").active == ("vbd.xvda",)
