"""The typed calls: every method of the interface, with its parameters and its types."""

import inspect
from collections.abc import Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from bus.memory import MemoryBroker, MemoryBus
from schema.own_methods import ALL_METHODS
from xenops import Client
from xenops.calls.vm import Destination

PREFIXES = {"task": "Task.", "updates": "UPDATES.", "observer": "Observer."}
NAMESPACES = (
    "vm",
    "vbd",
    "vif",
    "pci",
    "vgpu",
    "vusb",
    "host",
    "task",
    "updates",
    "debug",
    "observer",
    "lane",
    "worker",
    "quarantine",
    "events",
)
OWN_SHAPE = {"VM.migrate", "Observer.create"}
"""Methods whose many parameters are grouped, or partly decided, for Python."""


def methods() -> list[tuple[str, str, str]]:
    """Namespace, Python name and wire name of every typed method."""
    client = Client(MemoryBus(MemoryBroker()), "i")
    found = []
    for namespace in NAMESPACES:
        prefix = PREFIXES.get(namespace, namespace.upper() + ".")
        calls = vars(type(getattr(client, namespace)))
        names = [name for name, value in calls.items() if inspect.isfunction(value) and name[0] != "_"]
        found += [(namespace, name, prefix + name) for name in names]
    client.close()
    return found


METHODS_IN_PYTHON = methods()


class Recorder:
    """A caller that keeps what it is asked to call."""

    def __init__(self) -> None:
        self.method = ""
        self.params: dict[str, Any] = {}

    def __call__(self, method: str, /, **params: Any) -> None:
        self.method, self.params = method, params


def plain(type_: Any) -> Any:
    """A type without what only the wire distinguishes."""
    if get_origin(type_) is Annotated:
        return plain(get_args(type_)[0])
    if get_origin(type_) is Sequence:
        return tuple.__class_getitem__((plain(get_args(type_)[0]), ...))
    if get_origin(type_) is tuple:
        return tuple.__class_getitem__(tuple(plain(item) for item in get_args(type_)))
    return type(None) if type_ is None else type_


def test_every_method_of_the_interface_is_there_and_no_other() -> None:
    wire_names = {wire for _, _, wire in METHODS_IN_PYTHON} | {"query", "get_diagnostics"}
    assert wire_names == set(ALL_METHODS)


@pytest.mark.parametrize(("namespace", "name", "wire"), METHODS_IN_PYTHON)
def test_a_method_sends_its_parameters_and_declares_its_types(namespace: str, name: str, wire: str) -> None:
    client = Client(MemoryBus(MemoryBroker()), "i")
    recorder = Recorder()
    method = getattr(type(getattr(client, namespace))(recorder), name)
    client.close()
    parameters = inspect.signature(method).parameters
    hints = {key: plain(hint) for key, hint in get_type_hints(method).items()}
    given = {key: Destination("u") if hints[key] is Destination else (key,) for key in parameters}
    method(**given)
    declared = {key: type_ for key, type_ in ALL_METHODS[wire].parameters if key not in {"debug_info", "dbg"}}
    assert recorder.method == wire
    assert set(recorder.params) == set(declared)
    assert hints["return"] == plain(ALL_METHODS[wire].result)
    if wire not in OWN_SHAPE:
        sent = {key: value[0] for key, value in recorder.params.items() if value is not None}
        assert {key: hints[sent[key]] for key in sent} == {key: plain(declared[key]) for key in sent}
