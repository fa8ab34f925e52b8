"""Described: an operation in the words of the original's diagnostics, `["VM_start",["<id>",false]]`."""

from functools import cache
from typing import Any, get_type_hints

from schema.atomics import Atomic
from schema.operations import AtomicOperation, Operation, VmMigrate, VmReceiveMemory
from schema.wire.codec import to_rpc
from schema.wire.value import Dict


def described(work: Operation | Atomic) -> Any:
    """Its name and what it is done to: one value as it is, several as a list, a migration's many by name."""
    if isinstance(work, AtomicOperation):
        return [work.kind, described(work.atomic)]
    values = [(name, to_rpc(type_, getattr(work, name))) for name, type_ in _parameters(type(work))]
    if isinstance(work, VmMigrate | VmReceiveMemory):
        return [work.kind, Dict(reversed(values))]
    _, first = values[0]
    return [work.kind, first if len(values) == 1 else [value for _, value in values]]


@cache
def _parameters(kind: Any) -> tuple[tuple[str, Any], ...]:
    """The fields of a model and their types as the wire has them, in their order."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple((name, hints[name]) for name in kind.model_fields if name != "kind")
