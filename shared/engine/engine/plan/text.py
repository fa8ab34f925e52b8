"""Text: a plan as people read it, one atomic a line; the golden plans are written so."""

from collections.abc import Iterator

from pydantic import BaseModel
from schema.atomics import Atomic
from schema.ids import DeviceId
from schema.objects.pci import PciAddress

from engine.plan.nodes import BestEffort, Do, Parallel, Plan, Serial

_INDENT = "  "


def render(plan: Plan) -> str:
    """The plan as an indented tree, with a line break at its end."""
    return "".join(f"{line}\n" for line in _lines(plan))


def describe(atomic: Atomic) -> str:
    """An atomic on one line, such as `VBD_plug vm/xvda`: the original's name, its object, its arguments."""
    values = [(name, getattr(atomic, name)) for name in type(atomic).model_fields if name != "kind"]
    subject = [_value(value) for _, value in values[:1]]
    arguments = [f"{name}={_value(value)}" for name, value in values[1:]]
    return " ".join((atomic.kind, *subject, *arguments))


def _lines(plan: Plan) -> Iterator[str]:
    match plan:
        case Do(atomic=atomic):
            yield describe(atomic)
        case Serial(name=name, plans=plans):
            yield f"serial: {name}"
            yield from _indented(plans)
        case Parallel(name=name, plans=plans):
            yield f"parallel: {name}"
            yield from _indented(plans)
        case BestEffort(plan=attempt):
            yield "best effort"
            yield from _indented((attempt,))


def _indented(plans: tuple[Plan, ...]) -> Iterator[str]:
    return (_INDENT + line for plan in plans for line in _lines(plan))


def _value(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case DeviceId(vm=vm, device=device):
            return f"{vm}/{device}"
        case PciAddress(domain=domain, bus=bus, dev=dev, fn=fn):
            return f"{domain:04x}:{bus:02x}:{dev:02x}.{fn:x}"
        case BaseModel():
            return _record(value)
        case tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            return str(value)


def _record(record: BaseModel) -> str:
    """An arm as its tag and content, a struct as its type and content."""
    values = {name: getattr(record, name) for name in type(record).model_fields}
    title = values.pop("kind", type(record).__name__)
    return f"{title}({', '.join(map(_value, values.values()))})" if values else str(title)
